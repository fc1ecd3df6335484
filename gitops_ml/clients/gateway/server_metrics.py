"""Reads one page of each model server, such as its metrics. Only the gateway's container reaches them, so it asks."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import script
from gitops_ml.core.text import clean_line
from gitops_ml.errors import EngineFailed

_LONGEST_ANSWER = 4 << 20


def read_metrics(
    engine: Engine,
    gateway: str,
    servers: Iterable[tuple[str, int]],
    *,
    longest: int = _LONGEST_ANSWER,
    seconds: int = 2,
) -> dict[str, str]:
    """What these (alias, port) answer at /metrics, by alias; see `read_each`."""
    return read_each(engine, gateway, servers, "/metrics", longest=longest, seconds=seconds)


def read_each(
    engine: Engine,
    gateway: str,
    servers: Iterable[tuple[str, int]],
    path: str,
    *,
    longest: int,
    seconds: int = 2,
) -> dict[str, str]:
    """What these (alias, port) answer at a path, by alias; without the servers that do not answer.

    Args:
        longest: bytes that are read of one server's answer.
        seconds: how long one server may take; they are asked one after the other.

    Raises `EngineFailed` when the gateway cannot be asked.
    """
    mark = secrets.token_hex(16)
    words = (mark, str(longest), str(seconds), path, *(f"{alias}:{port}" for alias, port in servers))
    result = engine.exec_in_shell(gateway, script("read-each"), words, timeout=30.0)
    if result.code != 0:
        why = clean_line(result.stderr.decode(errors="replace"))
        raise EngineFailed(f"{path} of the servers could not be read", why=why)
    return split_answers(result.stdout.decode(errors="replace"), mark)


def split_answers(output: str, mark: str) -> dict[str, str]:
    """The answers in the output of the script `read-each`, by alias. Empty ones are left out."""
    answers = {}
    for part in output.split(f"{mark} ")[1:]:
        address, _, text = part.partition("\n")
        if text.strip():
            answers[address.rpartition(":")[0]] = text
    return answers
