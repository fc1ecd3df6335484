"""The journal of an environment: its entries, and the state that they add up to."""
