"""One environment of one clone, on its engine: what Git declares, what the host runs, and what a pass may do there."""
