"""Questions to model servers from inside the environment's network, and their answers."""
