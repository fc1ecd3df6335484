"""The routes of the gateway itself, beside those of deployments.

Clients of the Open Inference Protocol ask `GET /v2/health/live` of a server before anything else
(https://github.com/kserve/open-inference-protocol). At the gateway's own port Traefik answers.
"""

from __future__ import annotations

from typing import Any

import msgspec

ROUTERS: dict[str, Any] = {
    "gateway.live": {
        "rule": "Path(`/v2/health/live`) || Path(`/v2/health/live/`)",
        "service": "ping@internal",
        "entryPoints": ["web"],
        # Above every deployment: the rule of a deployment that is named `v2` covers this path too.
        "priority": 1_000_000,
    }
}


def has_own_routes(content: bytes) -> bool:
    """Whether a file of the watched folder holds these routes."""
    try:
        return bool(msgspec.json.decode(content)["http"]["routers"] == ROUTERS)
    except (msgspec.MsgspecError, LookupError, TypeError):
        return False
