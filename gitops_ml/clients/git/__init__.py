"""The Git repository, and the one importer of GitPython."""
