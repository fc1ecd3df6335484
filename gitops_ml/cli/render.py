"""Everything that a command prints for people: tables, lines and errors.

Data goes to stdout, progress and errors to stderr; states are coloured on a terminal only. All text is cleaned here,
so that no model, log, file or commit can control the terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from gitops_ml.cli import documents, wrapping
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
    "ok": "32",
    "note": "33",
    "missing": "31",
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


def out(text: str = "") -> None:
    """Print a line, or a text of several lines, to stdout."""
    print(_cleaned(text), flush=True)


def out_prose(text: str, indent: int) -> None:
    """Print sentences to stdout. A terminal gets them broken at spaces, with `indent` columns before what continues."""
    print(_fitted(_cleaned(text), sys.stdout, indent), flush=True)


def progress(text: str) -> None:
    """Print a line of progress to stderr, unless `--quiet` is given; as an event, if events are wanted."""
    documents.current.event(getattr(text, "kind", "progress"), text=clean(text), **getattr(text, "facts", {}))
    if not documents.current.quiet:
        _say(text)


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
    documents.current.note_error(problem, subject)
    _say(f"{subject}: {problem}" if subject else str(problem), title="error")


def _say(text: str, title: str = "") -> None:
    line = _fitted(f"{title}: {_cleaned(text)}" if title else _cleaned(text), sys.stderr)
    if title and _takes_colour(sys.stderr):
        line = line.replace(f"{title}:", f"\x1b[31m{title}:\x1b[0m", 1)
    print(line, file=sys.stderr, flush=True)


def _fitted(text: str, stream: TextIO, indent: int = 2) -> str:
    """The text as a terminal gets it: lines that are too wide are broken at spaces. A pipe gets it as it is."""
    return wrapping.fit(text, shutil.get_terminal_size().columns, indent) if stream.isatty() else text


def coloured() -> bool:
    """Whether stdout is a terminal and `NO_COLOR` is not set (no-color.org)."""
    return _takes_colour(sys.stdout)


def _takes_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(word: str, width: int = 0) -> str:
    """A state's name in its colour, padded to `width` characters. Other words are padded only."""
    padded = word.ljust(width)
    code = _COLOURS.get(word)
    return f"\x1b[{code}m{padded}\x1b[0m" if code and coloured() else padded


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()) -> None:
    """Print a table to stdout. On a terminal that is too narrow, leave out columns, and say so on stderr.

    A pipe and `-o wide` get all columns.

    Args:
        spare: the columns that may be left out, the least important first.
    """
    left_out: list[str] = []
    if documents.current.format != "wide" and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        for title in spare:
            if max(map(len, table(head, rows, painted=False).splitlines())) <= width:
                break
            place = list(head).index(title)
            head, rows = _without(head, place), [_without(row, place) for row in rows]
            left_out.append(title)
    out(table(head, rows))
    if left_out:
        progress(f"not shown: {', '.join(left_out)} (-o wide)")


def _without(row: Sequence[str], place: int) -> list[str]:
    return [*row[:place], *row[place + 1 :]]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, painted: bool = True) -> str:
    """Aligned columns with two spaces between them and no rules, so that `awk` can read them too."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    lines = ["  ".join(title.ljust(width) for title, width in zip(head, widths, strict=True)).rstrip()]
    show = paint if painted else str.ljust
    for row in cells:
        lines.append("  ".join(show(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return "\n".join(lines)


def counted(number: int, noun: str) -> str:
    """A number with its noun, which gets an s where it needs one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
