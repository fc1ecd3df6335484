"""Looks into a model inside a container: what it is, and whether its artifact says the same."""
