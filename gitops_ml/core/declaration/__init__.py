"""What people write in `environments/`: its schema, and the edits of it that are computed."""
