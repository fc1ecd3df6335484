"""A Docker Swarm as an engine: replicas are services that the Swarm spreads over its nodes."""
