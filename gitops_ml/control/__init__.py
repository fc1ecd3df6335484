"""One pass over an environment, from the look at Git and the host to the record in Git."""
