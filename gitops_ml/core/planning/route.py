"""The route file of one deployment: the gateway's (Traefik's) dynamic configuration, as bytes.

The same inputs give the same bytes, so the expected file can be compared with the present one. It is JSON, which is
YAML too. A hash of the content, its revision, is the name of a middleware that the routers use: so the gateway's API
tells which content it has loaded.

Prefixes are whole path segments: `/churn` never takes the requests of `/churn-eu`. A generation without traffic has a
service only if a pin header can reach it. Names are joined by a dot, which no deployment's name contains.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from gitops_ml.core.generation import HEALTH_PATH, MODEL_PATH

PIN_HEADER, SLOT_HEADER = "X-Gitops-Ml-Generation", "X-Gitops-Ml-Slot"
HEALTH_INTERVAL = "2s"
# Longer than a small batch blocks the server's loop, so that a busy server does not count as dead. A dead one refuses
# the connection at once.
HEALTH_TIMEOUT = "3s"
_REVISION = re.compile(rb'"([a-z0-9_-]+\.rev-([0-9a-f]{12}))"')


def route_file(
    deployment: str,
    backends: Iterable[tuple[str, int, str]],
    *,
    weights: Mapping[str, int],
    mirror: Mapping[str, int] | None = None,
    subscribers: Mapping[str, int] | None = None,
    pin_header: bool = False,
    health: str | Mapping[str, str] = HEALTH_PATH,
) -> bytes:
    """The route file that sends a deployment's traffic to its generations.

    Args:
        deployment: its name; the path segment under which it is reached.
        backends: (network alias, port, generation) of every replica.
        weights: share of the traffic by generation; only their ratios count.
        mirror: percent of the requests that are copied, by generation. The copies' answers are dropped.
        subscribers: percent of the subscribers that reach a generation whatever the weights, by generation.
        pin_header: let a request header choose any generation, even one without weight.
        health: the path that answers 200 if a replica is ready; one for all, or by generation.
    """
    servers: dict[str, list[tuple[str, int]]] = {}
    for alias, port, generation in backends:
        servers.setdefault(generation, []).append((alias, port))
    weighted = {g: w for g, w in sorted(weights.items()) if w > 0}
    mirrored = {g: p for g, p in sorted((mirror or {}).items()) if p > 0}
    served = sorted({*weighted, *mirrored, *(subscribers or ()), *(servers if pin_header else ())})
    services: dict[str, Any] = {
        f"{deployment}.{g}": _generation_service(
            sorted(servers.get(g, [])), health if isinstance(health, str) else health.get(g, HEALTH_PATH)
        )
        for g in served
    }
    shares = [{"name": f"{deployment}.{g}", "weight": w} for g, w in weighted.items()]
    split: dict[str, Any] = {"weighted": {"services": shares, "healthCheck": {}}}
    if mirrored:
        services[f"{deployment}.split"] = split
        copies = [{"name": f"{deployment}.{g}", "percent": p} for g, p in mirrored.items()]
        services[deployment] = {"mirroring": {"service": f"{deployment}.split", "mirrors": copies, "healthCheck": {}}}
    else:
        services[deployment] = split
    chosen = {f"-{g}": (f"Header(`{PIN_HEADER}`, `{g}`)", g) for g in (served if pin_header else ())}
    for g, percent in (subscribers or {}).items():
        slots = "|".join(map(str, range(percent)))
        chosen[f"-share-{g}"] = f"HeaderRegexp(`{SLOT_HEADER}`, `^({slots})$`)", g

    strip = revision_name(deployment, "")
    http = {
        "routers": _routers(deployment, strip, chosen),
        "middlewares": {strip: {"stripPrefix": {"prefixes": [f"/{deployment}"]}}},
        "services": services,
    }
    return named_by_revision(deployment, http)


def named_by_revision(name: str, http: Mapping[str, Any]) -> bytes:
    """The bytes of a route file. Its middleware `revision_name(name, "")` gets the name of the content's revision."""
    unnamed = revision_name(name, "")
    # The same bytes as from `json.dumps` with `indent`, which takes four times as long: its encoder is in Python.
    text = msgspec.json.format(json.dumps({"http": http}, sort_keys=True, ensure_ascii=True), indent=1)
    # The gateway's file provider expands Go templates before it parses the file.
    content = text.replace("{{", "{\\u007b").encode() + b"\n"
    named = revision_name(name, hashlib.sha256(content).hexdigest()[:12])
    return content.replace(f'"{unnamed}"'.encode(), f'"{named}"'.encode())


def revision_of(content: bytes) -> str | None:
    """The revision that a route file carries; None if the file is not ours."""
    revisions = {match[2].decode() for match in _REVISION.finditer(content)}
    return revisions.pop() if len(revisions) == 1 else None


def revision_name(deployment: str, revision: str) -> str:
    """The middleware's name in the gateway's API for this revision."""
    return f"{deployment}.rev-{revision}"


def service_generation(service: str) -> tuple[str, str] | None:
    """(deployment, generation) from a service's name in the gateway's access log; None for any other service."""
    match = re.fullmatch(r"([a-z0-9-]+)\.([0-9a-f]{12})(?:@file)?", service)
    return (match[1], match[2]) if match else None


def is_users_router(router: str) -> bool:
    """Whether the gateway chose the generation by weight. With a pinned router, the client chose it."""
    return re.fullmatch(r"[a-z0-9-]+\.(protocol|stripped)(?:@file)?", router) is not None


def loaded_revision(middleware: str) -> tuple[str, str] | None:
    """(deployment, revision) from a middleware's name as the gateway's API gives it; None for any other."""
    match = re.fullmatch(r"(.+)\.rev-([0-9a-f]{12})(?:@file)?", middleware)
    return (match[1], match[2]) if match else None


def _generation_service(servers: list[tuple[str, int]], health: str) -> dict[str, Any]:
    return {
        "loadBalancer": {
            "servers": [{"url": f"http://{alias}:{port}"} for alias, port in servers],
            "healthCheck": {
                "path": health,
                "interval": HEALTH_INTERVAL,
                "timeout": HEALTH_TIMEOUT,
                "followRedirects": False,  # a server must not choose what the gateway asks
            },
            "passHostHeader": True,
        }
    }


def _routers(deployment: str, strip: str, chosen: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """The routers of a deployment. `chosen`: which requests reach one generation alone, by the router's suffix."""
    protocol = _segment(f"{MODEL_PATH}/{deployment}")
    stripped = _segment(f"/{deployment}")
    # Each scrape would meet another replica. The agent offers the metrics of each.
    no_metrics = f" && !({_segment(f'/{deployment}/metrics')})"
    routers: dict[str, Any] = {}
    for kind, rule, unless, middlewares in (
        ("protocol", protocol, "", []),
        ("stripped", stripped, no_metrics, [strip]),
    ):
        routers[f"{deployment}.{kind}"] = _router(rule, unless, deployment, middlewares)
        for suffix, (condition, g) in chosen.items():
            narrower = f"({rule}) && {condition}"
            routers[f"{deployment}.{kind}{suffix}"] = _router(narrower, unless, f"{deployment}.{g}", middlewares)
    return routers


def _router(rule: str, unless: str, service: str, middlewares: list[str]) -> dict[str, Any]:
    """A router of `rule` with the exception `unless`, which makes it no more important: Traefik goes by the length."""
    router: dict[str, Any] = {
        "rule": f"({rule}){unless}" if unless else rule,
        "service": service,
        "entryPoints": ["web"],
    }
    if unless:
        router["priority"] = len(rule)
    if middlewares:
        router["middlewares"] = middlewares
    return router


def _segment(path: str) -> str:
    return f"Path(`{path}`) || PathPrefix(`{path}/`)"
