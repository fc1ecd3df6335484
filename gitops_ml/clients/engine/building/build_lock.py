"""A lock for each image: two builds of one image would do the same work twice."""

from __future__ import annotations

import threading

from gitops_ml.clients.engine.client import Engine

_locks: dict[tuple[str, str], threading.Lock] = {}


def build_lock(engine: Engine, tag: str) -> threading.Lock:
    """The lock of the image of this name on an engine. Whoever has waited for it finds the image there."""
    return _locks.setdefault((engine.url, tag), threading.Lock())
