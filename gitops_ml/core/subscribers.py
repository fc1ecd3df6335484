"""What the subscribers of a published model say that they run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from gitops_ml.core.text import clean_line

_Seconds = Annotated[float, Meta(ge=0, le=1e10)]


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What one subscriber said last, `heard` seconds ago, as its channel reports it.

    It had run `generation` for `seconds` then, and could not load `failed` because of `error`; empty where there is
    none. `scored` and `errors` count what its application did with the model that it runs.
    """

    subscriber: str
    heard: _Seconds
    generation: str = ""
    version: str = ""
    seconds: _Seconds = 0.0
    failed: str = ""
    error: str = ""
    scored: int = 0
    errors: int = 0


class ChannelReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one container of a channel knows. It has listened for `uptime` seconds; subscribers repeat what they said
    every `poll_seconds`.
    """

    poll_seconds: float
    uptime: float
    subscribers: tuple[Acknowledgement, ...]


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """Which version a subscriber of a deployment runs, since when, and when it said so last."""

    deployment: str
    subscriber: str
    version: str
    generation: str
    since: datetime | None
    heard: datetime
    failed: str
    error: str
    scored: int
    errors: int


def latest(reports: Iterable[ChannelReport]) -> list[Acknowledgement]:
    """The last acknowledgement of each subscriber, sorted by name: it reaches one container or the other."""
    newest: dict[str, Acknowledgement] = {}
    for said in (each for report in reports for each in report.subscribers):
        if said.subscriber not in newest or said.heard < newest[said.subscriber].heard:
            newest[said.subscriber] = said
    return [newest[name] for name in sorted(newest)]


def subscribers_of(deployment: str, reports: Iterable[ChannelReport], now: datetime) -> list[Subscriber]:
    """What the subscribers of a deployment run."""
    return [
        Subscriber(
            deployment=deployment,
            subscriber=clean_line(said.subscriber, 100),
            version=clean_line(said.version, 100),
            generation=clean_line(said.generation, 64),
            since=now - timedelta(seconds=said.heard + said.seconds) if said.generation else None,
            heard=now - timedelta(seconds=said.heard),
            failed=clean_line(said.failed, 64),
            error=clean_line(said.error, 500),
            scored=said.scored,
            errors=said.errors,
        )
        for said in latest(reports)
    ]
