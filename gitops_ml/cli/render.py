"""Everything that a command prints: tables, lines, JSON and errors.

Data goes to stdout, progress and errors to stderr; states are coloured on a terminal only. All text is cleaned here,
so that no model, log, file or commit can control the terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gitops_ml.core.text import clean, clean_line
from gitops_ml.errors import GitopsError

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
_PAINTED = re.compile(rf"(\x1b\[3[123]m(?:{'|'.join(_COLOURS)}) *\x1b\[0m)")
"""What `paint` makes. Every other escape sequence in a line comes from outside."""
# What a terminal obeys and `json.dumps` leaves as it is; see `core.text`.
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def out(text: str = "") -> None:
    """Print a line, or a text of several lines, to stdout."""
    print(_cleaned(text), flush=True)


def progress(text: str) -> None:
    """Print a line of progress to stderr."""
    print(_cleaned(text), file=sys.stderr, flush=True)


def print_log(show: Callable[[str], None] = progress) -> None:
    """Print this package's log, which holds the tracebacks of unforeseen errors, among the lines of progress."""
    import logging  # here, since `--help` needs none

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            show(self.format(record))

    logging.getLogger("gitops_ml").addHandler(Handler())


def error(problem: GitopsError | str, subject: str = "") -> None:
    """Print an error to stderr, and below it what fixes it.

    Args:
        subject: the environment or deployment that has the problem, when the error does not name it itself.
    """
    progress(f"error: {subject}: {problem}" if subject else f"error: {problem}")


def out_json(value: Any) -> None:
    """Print a value to stdout as JSON. Structs become objects, times ISO 8601."""
    print(as_json(value), flush=True)


def as_json(value: Any) -> str:
    """A value as JSON that is safe to show: control characters are escaped."""
    import msgspec

    text = json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def coloured() -> bool:
    """Whether stdout is a terminal and `NO_COLOR` is not set (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def paint(word: str, width: int = 0) -> str:
    """A state's name in its colour, padded to `width` characters. Other words are padded only."""
    padded = word.ljust(width)
    code = _COLOURS.get(word)
    return f"\x1b[{code}m{padded}\x1b[0m" if code and coloured() else padded


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns with two spaces between them and no rules, so that `awk` can read them too."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    lines = ["  ".join(title.ljust(width) for title, width in zip(head, widths, strict=True)).rstrip()]
    for row in cells:
        lines.append("  ".join(paint(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return "\n".join(lines)


def check_line(check: CheckResult) -> str:
    """The result of one check in one line, with the figures that decided it."""
    shown = [
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in check.figures.items()
        if isinstance(value, float | int | str) and value != ""
    ]
    figures = f" [{clean_line(', '.join(shown))}]" if shown else ""
    return f"{paint(check.word)} {clean_line(check.name)}: {clean_line(check.reason)}{figures}"


def _cell(value: str) -> str:
    # Leading spaces indent a table; clean_line would remove them.
    text = str(value)
    return " " * (len(text) - len(text.lstrip(" "))) + clean_line(text)


def _cleaned(text: str) -> str:
    return "\n".join(_clean_one(line) for line in text.split("\n"))


def _clean_one(line: str) -> str:
    # A split by a pattern with a group keeps the matches, at the odd places.
    return "".join(part if place % 2 else clean(part) for place, part in enumerate(_PAINTED.split(line)))
