"""What a pull request would do to users, and the comment that says so."""
