"""The Docker engine, and the one importer of its SDK."""
