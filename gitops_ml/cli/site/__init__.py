"""`site`: the page as static files."""
