"""Images: the bases that all are built from, those of models, and the removal of old ones."""
