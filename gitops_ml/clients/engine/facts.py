"""What containers are made of, without inspecting each of them at each look.

The engine's list of containers has no environment, limits, mounts or aliases. But a container's configuration never
changes under its ID, save by `docker update` and by connecting networks, and the engine remembers having done those: it
keeps its last 256 events (moby `daemon/events/events.go`, `eventsLimit`). So facts are kept by container ID in a file,
beside one *anchor*: an event that was seen when all facts were current. While the engine still answers with the anchor,
nothing that happened since can have been forgotten, and only containers that an event since then updated, connected or
disconnected, and those never seen, are inspected anew. When the anchor has gone (more events, or the engine started
again), all are. A look at an unchanged world inspects none.

The file is a cache and never the truth: without it the same facts come out, a little later. Events are read before
anything is inspected, so what changes in between is seen at the next look.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.clients.cache_file import write_whole
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.config import ImageFacts, facts_of, image_facts
from gitops_ml.clients.engine.types import EngineInfo
from gitops_ml.core.observed import ContainerFacts

_SCHEMA = 1  # raised when what `facts_of` gives changes its meaning
_CHANGES = {"update", "connect", "disconnect"}
_MOVE_AFTER = 64  # events: the anchor is moved long before the engine forgets it
_AT_ONCE = 4


class _Anchor(msgspec.Struct, frozen=True):
    """One event, as exactly as it can be told from any other. `at` in the engine's nanoseconds."""

    at: int
    kind: str
    action: str
    subject: str


class _Known(msgspec.Struct, kw_only=True):
    """The file's content."""

    schema: int = _SCHEMA
    engine: str = ""
    anchor: _Anchor | None = None
    containers: dict[str, ContainerFacts] = {}
    images: dict[str, ImageFacts] = {}


def current_facts(
    engine: Engine, info: EngineInfo, listed: Iterable[dict[str, Any]], cache: Path | None
) -> dict[str, ContainerFacts]:
    """The facts of these listed containers by ID. One call when nothing has changed; `cache` is the file, if any.

    A container that vanishes meanwhile is left out.
    """
    known = _read(cache, info.id)
    events = engine.past_events(known.anchor.at if known.anchor else 0, info.now)
    marks = [_mark(event) for event in events]
    ids = {container["Id"] for container in listed}
    if known.anchor in marks:
        since = events[marks.index(known.anchor) + 1 :]
        touched = {_touched(event) for event in since}
        kept = {i: facts for i, facts in known.containers.items() if i in ids and i not in touched}
    else:
        since, kept = events, {}
    missing = sorted(ids - kept.keys())
    if missing:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            inspected = [found for found in pool.map(engine.inspect_container, missing) if found]
        for image in sorted({found["Image"] for found in inspected} - known.images.keys()):
            known.images[image] = image_facts(engine.inspect_image(image) or {})
        for found in inspected:
            kept[found["Id"]] = facts_of(found, known.images[found["Image"]])
    changed = bool(missing) or kept.keys() != known.containers.keys()
    if cache and marks and (changed or known.anchor not in marks or len(since) > _MOVE_AFTER):
        used = {facts.image_id for facts in kept.values()}
        images = {image: facts for image, facts in known.images.items() if image in used}
        now = _Known(engine=info.id, anchor=marks[-1], containers=kept, images=images)
        write_whole(cache, msgspec.json.encode(now))
    return kept


def _mark(event: dict[str, Any]) -> _Anchor:
    subject = str((event.get("Actor") or {}).get("ID", ""))
    return _Anchor(int(event["timeNano"]), str(event.get("Type", "")), str(event.get("Action", "")), subject)


def _touched(event: dict[str, Any]) -> str | None:
    """The container whose configuration an event changed."""
    if event.get("Action") not in _CHANGES:
        return None
    actor = event.get("Actor") or {}
    if event.get("Type") == "network":
        return str((actor.get("Attributes") or {}).get("container", ""))
    return str(actor.get("ID", ""))


def _read(cache: Path | None, engine: str) -> _Known:
    if cache:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            known = msgspec.json.decode(cache.read_bytes(), type=_Known)
            if known.schema == _SCHEMA and known.engine == engine:
                return known
    return _Known()
