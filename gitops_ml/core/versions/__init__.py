"""Versions of models as Git and DVC write them: tags, outputs and lineage."""
