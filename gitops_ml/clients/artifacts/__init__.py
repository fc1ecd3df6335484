"""Versions resolved to bytes, and the one importer of DVC."""
