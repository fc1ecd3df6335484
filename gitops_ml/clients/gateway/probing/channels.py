"""Reads what subscribers told the channels of published models. Only the environment's own network may ask them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.server_metrics import read_each
from gitops_ml.core.subscribers import ChannelReport

_PATH = "/gitops-ml/subscribers"
_LONGEST = 64 << 20
"""Bytes of one answer: more than the most subscribers of a channel can make it."""


def read_channels(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]]) -> dict[str, ChannelReport]:
    """What these (alias, port) were told, by alias; without the servers that do not answer as a channel does.

    Raises `EngineFailed` when the gateway cannot be asked.
    """
    reports: dict[str, ChannelReport] = {}
    for alias, text in read_each(engine, gateway, servers, _PATH, longest=_LONGEST).items():
        try:
            reports[alias] = decode(text, ChannelReport)
        except (msgspec.DecodeError, RecursionError):
            continue
    return reports
