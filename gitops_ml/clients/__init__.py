"""The edges: one third-party system each, and the only importer of its SDK."""
