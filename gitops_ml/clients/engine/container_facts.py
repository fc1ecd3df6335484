"""The configuration of containers, without inspecting each container at each look.

The engine's list of containers lacks environment, limits, mounts and aliases. But under one ID only `docker update` and
the connecting of networks change a container's configuration, and only its end and its start change how often it was
restarted. The engine remembers those as events: its last 256
(moby `daemon/events/events.go`, `eventsLimit`). So a file keeps the facts by container ID, and one *anchor*: an event
that was seen when all facts were current. As long as the engine still returns the anchor, it has forgotten nothing that
happened since. Then only the containers of later events, and new containers, are inspected. When the anchor is gone
(too many events, or the engine was restarted), all containers are. A look at an unchanged world inspects none.

The file is a cache: without it the same facts come out, a little later. Events are read before anything is inspected,
so that a change in between is seen at the next look.

The services of a Swarm are listed with all that there is to know of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.cache_file import write_whole
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.config import ImageFacts, facts_of, image_facts
from gitops_ml.clients.engine.types import EngineInfo
from gitops_ml.core.observed import ContainerFacts

_SCHEMA = 2  # raised when what `facts_of` gives changes its meaning
_CHANGES = {"update", "connect", "disconnect", "die", "start"}
_MOVE_AFTER = 64  # events: the anchor is moved long before the engine forgets it
_AT_ONCE = 4


class _Anchor(msgspec.Struct, frozen=True):
    """One event, in enough detail to recognise it. `at` is in the engine's nanoseconds."""

    at: int
    kind: str
    action: str
    subject: str


class _Cache(msgspec.Struct, kw_only=True):
    """The file's content."""

    schema: int = _SCHEMA
    engine: str = ""
    anchor: _Anchor | None = None
    containers: dict[str, ContainerFacts] = {}
    images: dict[str, ImageFacts] = {}


def current_facts(
    engine: Engine, info: EngineInfo, listed: Sequence[dict[str, Any]], cache: Path | None
) -> dict[str, ContainerFacts]:
    """The facts of these listed containers, by ID; without a container that vanishes meanwhile.

    Args:
        cache: the file that keeps the facts, if any. With it, one call when nothing has changed.
    """
    services = {entry["Id"]: facts_of(entry["Inspection"], ImageFacts()) for entry in listed if "Inspection" in entry}
    kept = _read(cache, info.id)
    events = engine.past_events(kept.anchor.at if kept.anchor else 0, info.now)
    marks = [_mark(event) for event in events]
    ids = {container["Id"] for container in listed} - services.keys()
    ran_out_of_memory = {_actor(event) for event in events if event.get("Action") == "oom"}
    if kept.anchor in marks:
        since = events[marks.index(kept.anchor) + 1 :]
        changed = {_changed_container(event) for event in since}
        facts = {i: own for i, own in kept.containers.items() if i in ids and i not in changed}
    else:
        since, facts = events, {}
    missing = sorted(ids - facts.keys())
    if missing:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            inspected = [container for container in pool.map(engine.inspect_container, missing) if container]
        for image in sorted({container["Image"] for container in inspected} - kept.images.keys()):
            kept.images[image] = image_facts(engine.inspect_image(image) or {})
        for container in inspected:
            own = facts_of(container, kept.images[container["Image"]])
            before = kept.containers.get(container["Id"])
            # The engine's own flag is cleared when the container starts again.
            ran_out = own.out_of_memory or container["Id"] in ran_out_of_memory or bool(before and before.out_of_memory)
            facts[container["Id"]] = msgspec.structs.replace(own, out_of_memory=ran_out)
    stale = bool(missing) or facts.keys() != kept.containers.keys()
    if cache and marks and (stale or kept.anchor not in marks or len(since) > _MOVE_AFTER):
        used = {own.image_id for own in facts.values()}
        images = {image: own for image, own in kept.images.items() if image in used}
        content = _Cache(engine=info.id, anchor=marks[-1], containers=facts, images=images)
        write_whole(cache, msgspec.json.encode(content))
    return facts | services


def _mark(event: dict[str, Any]) -> _Anchor:
    subject = str((event.get("Actor") or {}).get("ID", ""))
    return _Anchor(int(event["timeNano"]), str(event.get("Type", "")), str(event.get("Action", "")), subject)


def _changed_container(event: dict[str, Any]) -> str | None:
    """The container whose configuration an event changed."""
    if event.get("Action") not in _CHANGES:
        return None
    if event.get("Type") == "network":
        return str(((event.get("Actor") or {}).get("Attributes") or {}).get("container", ""))
    return _actor(event)


def _actor(event: dict[str, Any]) -> str:
    return str((event.get("Actor") or {}).get("ID", ""))


def _read(cache: Path | None, engine: str) -> _Cache:
    if cache:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            content = decode(cache.read_bytes(), _Cache)
            if content.schema == _SCHEMA and content.engine == engine:
                return content
    return _Cache()
