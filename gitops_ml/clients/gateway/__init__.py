"""The gateway of an environment: Traefik, routes, journal, access log, and probes."""
