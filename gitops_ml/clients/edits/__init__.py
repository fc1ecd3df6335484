"""Edits of declarations: register, bump, promote, hold; one file and one commit each."""
