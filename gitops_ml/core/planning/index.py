"""The route of the gateway's bare port: what an Open Inference Protocol client asks of a whole server.

A file beside those of the deployments sends a few exact paths to the deployments that serve, with the names of all of
them in a request header. The gateway sets the header itself, so no client chooses its value; any model server answers
from it. The file names the services of the deployments' own files, and no versions: a rollout leaves it as it is.

Sources: https://github.com/kserve/open-inference-protocol (inference_rest.md) and Triton's
`extension_model_repository.md`.
"""

from __future__ import annotations

from collections.abc import Collection

from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.route import named_by_revision, revision_name, revision_of

INDEX = "_index"
"""The name of this route and of its file. No deployment can have it."""
HEADER = "X-Gitops-Ml-Deployments"
"""Names of deployments, separated by commas."""
MAX_HEADER = 24_000
"""Bytes of the header: servers refuse requests with more than 32 to 64 KiB of headers."""
_PATHS = ("/v2", "/v2/health/ready", "/v2/models", "/v2/repository/index")
_PRIORITY = 1_000_000
"""Above every deployment: the rule of a deployment that is named `v2` covers these paths too."""


def plan_index(snapshot: Snapshot, state: EnvironmentState, leaving: Collection[str]) -> list[plan.Action]:
    """Plan to make the index list what serves.

    It comes before the deployments' own actions: the gateway drops the whole route where a service of it is missing.

    Args:
        leaving: the deployments that this plan withdraws.
    """
    if not snapshot.gateway_runs:
        return []  # what is loaded is not known
    expected = index_file(_listed(snapshot, state, leaving))
    loaded = snapshot.loaded.get(INDEX)
    if snapshot.index == expected and loaded == (revision_of(expected) if expected else None):
        return []
    because = "it does not list what serves" if snapshot.index != expected else "the gateway has not loaded it"
    return [plan.Index(content=expected, because=because)]


def index_file(deployments: Collection[str]) -> bytes:
    """The file that lists these deployments; empty if there are none, or more than a header may name."""
    names = sorted(deployments)
    header = ",".join(names)
    if not names or len(header) > MAX_HEADER:
        return b""
    unnamed = revision_name(INDEX, "")
    router = {
        "rule": " || ".join(f"Path(`{path}`) || Path(`{path}/`)" for path in _PATHS),
        "service": INDEX,
        "entryPoints": ["web"],
        "middlewares": [unnamed],
        "priority": _PRIORITY,
    }
    services = [{"name": name, "weight": 1} for name in names]
    http = {
        "routers": {f"{INDEX}.protocol": router},
        "middlewares": {unnamed: {"headers": {"customRequestHeaders": {HEADER: header}}}},
        "services": {INDEX: {"weighted": {"services": services, "healthCheck": {}}}},
    }
    return named_by_revision(INDEX, http)


def _listed(snapshot: Snapshot, state: EnvironmentState, leaving: Collection[str]) -> list[str]:
    """The deployments that our model server serves behind a route."""
    return [
        name
        for name, deployment in state.deployments.items()
        if deployment.serving
        and deployment.serving.pattern == "service"
        and name not in leaving
        and revision_of(snapshot.routes.get(name, b""))
    ]
