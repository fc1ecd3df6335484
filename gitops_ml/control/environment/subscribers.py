"""What the subscribers of an environment's published models run, as their channels were told."""

from __future__ import annotations

from gitops_ml.clients.gateway.probing.channels import read_channels
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.view import View
from gitops_ml.core.generation import PORT
from gitops_ml.core.observed import Container
from gitops_ml.core.subscribers import Subscriber, subscribers_of


def read_subscribers(connection: Connection, view: View) -> list[Subscriber]:
    """The subscribers by deployment and name; none while the gateway does not run. Raises `EngineFailed`."""
    gateway, channels = view.snapshot.gateway, _channels(view)
    if gateway is None or not view.snapshot.gateway_runs or not channels:
        return []
    addresses = [(c.alias, PORT) for containers in channels.values() for c in containers]
    reports = read_channels(connection.to(view.source.files), gateway.id, addresses)
    return [
        subscriber
        for name, containers in sorted(channels.items())
        for subscriber in subscribers_of(
            name, [reports[c.alias] for c in containers if c.alias in reports], view.snapshot.at
        )
    ]


def _channels(view: View) -> dict[str, list[Container]]:
    """The running containers of each deployment that publishes its model."""
    published = [
        name
        for name, state in view.state.deployments.items()
        if any(
            generation.published for generation in (state.serving, state.open and state.open.generation) if generation
        )
    ]
    return {name: [c for c in view.snapshot.replicas(name) if c.state == "running"] for name in published}
