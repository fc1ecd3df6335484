"""What `doctor` reports: one finding for each thing that it checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from gitops_ml.errors import GitopsError

_WIDTH = 22
INDENT = 9
"""Columns before the line with the fix, behind the column of states."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was checked.

    Attributes:
        state: `note` means that everything works without it, and that a person may want to know.
        said: what was found, in one line.
    """

    what: str
    state: Literal["ok", "note", "missing"]
    said: str
    fix: str = ""

    def line(self, paint: Callable[[str, int], str] = str.ljust) -> str:
        """The finding as text: a line, and a second one with the fix if there is one. `paint` pads the state."""
        text = f"{paint(self.state, 8)} {self.what:<{_WIDTH}} {self.said}"
        return f"{text}\n{' ' * INDENT}fix: {self.fix}" if self.fix else text


def ok(what: str, said: str) -> Finding:
    """A finding: this is there."""
    return Finding(what=what, state="ok", said=said)


def note(what: str, said: str, fix: str = "") -> Finding:
    """A finding: everything works without this."""
    return Finding(what=what, state="note", said=said, fix=fix)


def missing(what: str, said: str | GitopsError, fix: str = "") -> Finding:
    """A finding: this is needed. An error brings its own fix."""
    if isinstance(said, GitopsError):
        fix = fix or said.fix
        said = f"{said.what}: {said.why}" if said.why else said.what
    return Finding(what=what, state="missing", said=said, fix=fix)
