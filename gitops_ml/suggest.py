"""'Did you mean …?': the nearest valid name for an error message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The valid name that is most like `name`; None if none is.

    Args:
        cutoff: how similar it must be, from 0 to 1 (`difflib.get_close_matches`).
    """
    matches = difflib.get_close_matches(name, list(valid), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def did_you_mean(name: str, valid: Iterable[str], cutoff: float = 0.6) -> str:
    """'did you mean `NAME`?' with the nearest valid name; empty if none is near."""
    match = nearest(name, valid, cutoff)
    return f"did you mean `{match}`?" if match else ""
