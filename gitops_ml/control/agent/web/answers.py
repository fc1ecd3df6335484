"""What a GET request is and what it is answered with, so that what answers knows no web framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gitops_ml.core.text import clean_line

HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Question:
    """A GET request: the parts of its path that the route names, and its headers by lower-case name."""

    path: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """The answer to a GET request."""

    body: bytes
    media_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Get = Callable[[Question], Answer]
"""Answers a GET request, in a thread of its own: it may take its time."""


def json_answer(value: Any, status: int = 200) -> Answer:
    """An answer of JSON, with a line end for people who ask with curl."""
    return Answer(msgspec.json.encode(value) + b"\n", JSON, status)


def refusal(status: int, why: str) -> Answer:
    """An answer that says why a request was refused."""
    return json_answer({"error": clean_line(why)}, status)
