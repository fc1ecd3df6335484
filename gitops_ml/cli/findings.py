"""What `doctor` says about one thing."""

from __future__ import annotations

from typing import Literal

import msgspec

from gitops_ml.errors import GitopsError

_WIDTH = 22


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `note`: it works without, and a person may want to know."""

    what: str
    state: Literal["ok", "note", "missing"]
    said: str
    fix: str = ""

    def line(self) -> str:
        """The finding as a person reads it."""
        text = f"{self.state:<8} {self.what:<{_WIDTH}} {self.said}"
        return f"{text}\n{' ' * 9}fix: {self.fix}" if self.fix else text


def ok(what: str, said: str) -> Finding:
    """It is there."""
    return Finding(what=what, state="ok", said=said)


def note(what: str, said: str, fix: str = "") -> Finding:
    """It works without."""
    return Finding(what=what, state="note", said=said, fix=fix)


def missing(what: str, said: str | GitopsError, fix: str = "") -> Finding:
    """It is needed. An error says itself what fixes it."""
    if isinstance(said, GitopsError):
        fix = fix or said.fix
        said = f"{said.what}: {said.why}" if said.why else said.what
    return Finding(what=what, state="missing", said=said, fix=fix)
