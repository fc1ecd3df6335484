"""What the demo prints: headings, commands with their output, and how long each took.

Everything goes to stdout as it happens, in colour on a terminal. A log file has all of it, and the output that stdout
leaves out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from gitops_ml.cli.render import coloured
from gitops_ml.core.text import clean
from gitops_ml.errors import GitopsError

WIDEST = 110
WORTH_TELLING = 0.95
"""Seconds from which on a command's duration is printed."""

_PAINT = {"title": "1;36", "command": "1", "quiet": "2", "good": "32", "bad": "31"}
_DIFF = {"+": "good", "-": "bad"}
_WORDS = (
    (re.compile(r"\b(pass|Verified|Healthy|Synced|promoted)\b"), "good"),
    (re.compile(r"\b(fail|failed|Failed|Degraded|Missing)\b"), "bad"),
)

_REPOSITORY_VARIABLES = {
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "PYTHONSAFEPATH",
}  # fmt: skip

Shown = Literal["all", "progress", "nothing"]
"""How much of a command's output is shown: all of it, its stderr, or nothing."""


@dataclass(frozen=True)
class Ran:
    """How a command ended.

    Attributes:
        out: its stdout; empty where `Presentation.shown` is `all`.
        lines: its stderr; both streams where `Presentation.shown` is `all`.
    """

    code: int
    out: str
    lines: str
    seconds: float


@dataclass(frozen=True)
class Presentation:
    """How a command of the story is presented.

    Attributes:
        typed: the command as a user would type it; None if the command is not part of the story.
        shown: which of its output is shown.
        only: chooses the lines to show.
        expect: the exit code that the story expects.
    """

    typed: str | None = None
    shown: Shown = "nothing"
    only: Callable[[str], bool] = bool
    expect: int = 0


class Narrator:
    """Tells the story to stdout and a log. A context manager, which closes the log."""

    def __init__(self, log: Path) -> None:
        self._log_path = log
        self._colour = coloured()
        columns = shutil.get_terminal_size((100, 24)).columns
        self._width = min(max(columns, 60), WIDEST)
        self._chapter = 0

    def __enter__(self) -> Narrator:
        self._log: IO[str] = self._log_path.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    @contextmanager
    def chapter(self, title: str) -> Iterator[None]:
        """Print a heading before the chapter, and its duration after."""
        self._chapter += 1
        rule = "─" * max(2, self._width - len(title) - 8)
        self._put("")
        self._put(f"── {self._chapter} {title} {rule}", "title")
        began = time.monotonic()
        yield
        self._put("")
        self._put(f"   (chapter {self._chapter}: {_took(time.monotonic() - began)})", "quiet")

    def say(self, text: str) -> None:
        """Tell a sentence or two of the story."""
        self._put("")
        for line in textwrap.wrap(" ".join(text.split()), self._width - 3):
            self._put(f"   {line}")

    def good(self, text: str) -> None:
        """Tell what a chapter has shown."""
        first, *rest = textwrap.wrap(" ".join(text.split()), self._width - 5)
        self._put("")
        self._put(f"   ✓ {first}", "good")
        for line in rest:
            self._put(f"     {line}", "good")

    def command(self, typed: str) -> None:
        """Print a command as a user types it."""
        self._put("")
        lines = textwrap.wrap(typed, self._width - 7, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            more = " \\" if number + 1 < len(lines) else ""
            self._put(("   $ " if number == 0 else "       ") + line + more, "command")

    def output(self, line: str) -> None:
        """Print one line of a command's output."""
        changed = _DIFF.get(line.lstrip()[:1], "")
        for part in self._wrapped(line):
            self._put(f"     {part}", changed, paint_words=True)

    def took(self, seconds: float) -> None:
        """Print how long the last command took, if that is worth a line."""
        if seconds >= WORTH_TELLING:
            self._put(f"     ({_took(seconds)})", "quiet")

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        present: Presentation,
    ) -> Ran:
        """Run a command, and print its output while it runs.

        Raises `GitopsError` if the command does not end with the exit code that the story expects.
        """
        typed, show_all = present.typed, present.shown == "all"
        if typed is not None:
            self.command(typed)
        self._note(f"$ {' '.join(command)}")
        began = time.monotonic()
        lines: list[str] = []
        with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if show_all else out,
                stderr=subprocess.STDOUT if show_all else subprocess.PIPE,
                text=True,
                errors="replace",
            )
            with process:
                stream = process.stdout if show_all else process.stderr
                assert stream is not None
                for line in stream:
                    lines.append(line.rstrip())
                    if present.shown != "nothing" and present.only(line.strip()):
                        self.output(line.rstrip())
                    else:
                        self._note(f"  {line.rstrip()}")
            out.seek(0)
            answer = out.read()
        ran = Ran(process.returncode, answer, "\n".join(lines), time.monotonic() - began)
        self._note(answer)
        if typed is not None:
            self.took(ran.seconds)
        if ran.code != present.expect:
            raise GitopsError(
                f"`{typed or ' '.join(command)}` ended with exit code {ran.code}; the story expects {present.expect}",
                why="\n".join(lines[-12:]) or answer[-600:],
                fix=f"read {self._log_path}; `gitops-ml demo` starts again, and with --remove it removes everything",
            )
        return ran

    def _wrapped(self, line: str) -> list[str]:
        room = self._width - 5
        if len(line) <= room:
            return [line]
        return textwrap.wrap(line, room, subsequent_indent="    ", break_on_hyphens=False, drop_whitespace=True)

    def _put(self, text: str, style: str = "", *, paint_words: bool = False) -> None:
        text = clean(text)
        self._note(text)
        if self._colour and style:
            text = f"\x1b[{_PAINT[style]}m{text}\x1b[0m"
        elif self._colour and paint_words:
            text = _painted(text)
        print(text, flush=True)

    def _note(self, text: str) -> None:
        print(text, file=self._log, flush=True)


def user_environment(**more: str) -> dict[str, str]:
    """The environment variables for a command of the story, with this installation's commands first in PATH.

    Variables that name another repository are left out: Git sets them where a hook runs the demo.
    """
    kept = {key: value for key, value in os.environ.items() if key not in _REPOSITORY_VARIABLES}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return kept | {"PATH": path} | more


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _painted(text: str) -> str:
    for pattern, style in _WORDS:
        text = pattern.sub(f"\x1b[{_PAINT[style]}m\\1\x1b[0m", text)
    return text
