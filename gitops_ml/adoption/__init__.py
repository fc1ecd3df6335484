"""From a repository as its team wrote it to models that can be served: what they are, need, take and answer."""
