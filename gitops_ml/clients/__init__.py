"""The edges: everything that talks to Git, files, DVC, the engine or the network."""
