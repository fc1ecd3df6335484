"""Held-out rows: as requests to a model, and as what its answers are judged by."""
