"""A team's own checks: ask a Prometheus, get a page, run a command in a container, each within its own deadline."""
