"""What a person sees: tables and lines. Data goes to stdout, progress to stderr; colour only on a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitops_ml.core.verification.verdict import CheckResult

_COLOURS = {
    "Synced": "32",
    "Healthy": "32",
    "Verified": "32",
    "pass": "32",
    "promoted": "32",
    "OutOfSync": "33",
    "Progressing": "33",
    "Inconclusive": "33",
    "inconclusive": "33",
    "advises": "33",
    "Unverified": "33",
    "Degraded": "31",
    "Missing": "31",
    "Failed": "31",
    "failed": "31",
    "fail": "31",
}


def coloured(stream: Any = None) -> bool:
    """Whether colour is wanted: on a terminal, and not where `NO_COLOR` is set (no-color.org)."""
    return (stream or sys.stdout).isatty() and not os.environ.get("NO_COLOR")


def paint(word: str, width: int = 0) -> str:
    """A state's name in its colour, padded to `width`."""
    padded = word.ljust(width)
    code = _COLOURS.get(word)
    return f"\x1b[{code}m{padded}\x1b[0m" if code and coloured() else padded


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, two blanks apart, without rules: fit for a terminal and for `awk`."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(title.ljust(width) for title, width in zip(head, widths, strict=True)).rstrip()]
    for row in rows:
        cells = [paint(str(cell), width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def check_line(check: CheckResult) -> str:
    """One check with the figures that decided it."""
    shown = [
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in check.figures.items()
        if isinstance(value, float | int | str) and value != ""
    ]
    figures = f" [{', '.join(shown)}]" if shown else ""
    return f"{paint(check.word)} {check.name}: {check.reason}{figures}"


def as_json(value: Any) -> str:
    """A value as JSON, structs included, times as ISO 8601."""
    import msgspec

    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False)


def progress(line: str) -> None:
    """One line of progress, to stderr."""
    print(line, file=sys.stderr, flush=True)
