"""The agent: one process that keeps hosts equal to Git, each environment beside the others."""
