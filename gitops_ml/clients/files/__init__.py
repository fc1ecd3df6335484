"""The YAML files of a repository: read at a commit, edited in place."""
