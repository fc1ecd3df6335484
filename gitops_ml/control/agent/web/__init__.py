"""The HTTP side of the agent: its health, its metrics and its hooks, from a thread of their own."""
