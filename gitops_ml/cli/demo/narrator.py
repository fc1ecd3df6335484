"""What a person sees of the demo: headings, the commands with what they say, how long each took.

All of it goes to stdout as it happens, on a terminal in colour; and, with what is left out there, into a log file.
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
from gitops_ml.errors import GitopsError

WIDEST = 110
WORTH_TELLING = 0.95
"""Seconds from which on it is told how long a command took."""

_PAINT = {"title": "1;36", "command": "1", "quiet": "2", "good": "32", "bad": "31"}
_DIFF = {"+": "good", "-": "bad"}
_WORDS = (
    (re.compile(r"\b(pass|Verified|Healthy|Synced|promoted)\b"), "good"),
    (re.compile(r"\b(fail|failed|Failed|Degraded|Missing)\b"), "bad"),
)

_ELSEWHERE = {
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX", "PYTHONSAFEPATH",
}  # fmt: skip

Said = Literal["all", "progress", "nothing"]
"""How much of a command's output is shown: all of it, what it writes to stderr, or nothing."""


@dataclass(frozen=True)
class Ran:
    """What a command came to. `said` is all that it wrote to stderr, and to stdout where that was shown too."""

    code: int
    out: str
    said: str
    seconds: float


class Narrator:
    """Tells the story into stdout and a log. A context manager, which closes the log."""

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
        """A heading before, the time it took after."""
        self._chapter += 1
        rule = "─" * max(2, self._width - len(title) - 8)
        self._put("")
        self._put(f"── {self._chapter} {title} {rule}", "title")
        began = time.monotonic()
        yield
        self._put("")
        self._put(f"   (chapter {self._chapter}: {_took(time.monotonic() - began)})", "quiet")

    def say(self, text: str) -> None:
        """A sentence or two of the story."""
        self._put("")
        for line in textwrap.wrap(" ".join(text.split()), self._width - 3):
            self._put(f"   {line}")

    def good(self, text: str) -> None:
        """What a chapter has shown."""
        first, *rest = textwrap.wrap(" ".join(text.split()), self._width - 5)
        self._put("")
        self._put(f"   ✓ {first}", "good")
        for line in rest:
            self._put(f"     {line}", "good")

    def command(self, typed: str) -> None:
        """A command as a user types it."""
        self._put("")
        lines = textwrap.wrap(typed, self._width - 7, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            more = " \\" if number + 1 < len(lines) else ""
            self._put(("   $ " if number == 0 else "       ") + line + more, "command")

    def output(self, line: str) -> None:
        """One line of what a command said."""
        changed = _DIFF.get(line.lstrip()[:1], "")
        for part in self._wrapped(line):
            self._put(f"     {part}", changed, paint_words=True)

    def took(self, seconds: float) -> None:
        """How long the last command took, where that is worth a line."""
        if seconds >= WORTH_TELLING:
            self._put(f"     ({_took(seconds)})", "quiet")

    def run(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str],
        typed: str | None,
        said: Said,
        only: Callable[[str], bool] = bool,
        expect: int = 0,
    ) -> Ran:
        """Run a command, telling what it says while it says it.

        `typed` None: it is not part of the story. `only` chooses among the lines. Raises `GitopsError` when it does not
        end with `expect`.
        """
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
                stdout=subprocess.PIPE if said == "all" else out,
                stderr=subprocess.STDOUT if said == "all" else subprocess.PIPE,
                text=True,
                errors="replace",
            )
            with process:
                stream = process.stdout if said == "all" else process.stderr
                assert stream is not None
                for line in stream:
                    lines.append(line.rstrip())
                    if said != "nothing" and only(line.strip()):
                        self.output(line.rstrip())
                    else:
                        self._note(f"  {line.rstrip()}")
            out.seek(0)
            answer = out.read()
        ran = Ran(process.returncode, answer, "\n".join(lines), time.monotonic() - began)
        self._note(answer)
        if typed is not None:
            self.took(ran.seconds)
        if ran.code != expect:
            raise GitopsError(
                f"`{typed or ' '.join(command)}` ended with exit code {ran.code}, and the story tells of {expect}",
                why="\n".join(lines[-12:]) or answer[-600:],
                fix=f"read {self._log_path}; gitops-ml demo tells it anew, gitops-ml demo --remove removes all of it",
            )
        return ran

    def _wrapped(self, line: str) -> list[str]:
        room = self._width - 5
        if len(line) <= room:
            return [line]
        return textwrap.wrap(line, room, subsequent_indent="    ", break_on_hyphens=False, drop_whitespace=True)

    def _put(self, text: str, style: str = "", *, paint_words: bool = False) -> None:
        self._note(text)
        if self._colour and style:
            text = f"\x1b[{_PAINT[style]}m{text}\x1b[0m"
        elif self._colour and paint_words:
            text = _painted(text)
        print(text, flush=True)

    def _note(self, text: str) -> None:
        print(text, file=self._log, flush=True)


def user_environment(**more: str) -> dict[str, str]:
    """This process's environment for a command of the story, with the commands of this installation first in PATH.

    What names another repository is left out: a hook that runs the demo has it set.
    """
    kept = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return kept | {"PATH": path} | more


def _took(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _painted(text: str) -> str:
    for pattern, style in _WORDS:
        text = pattern.sub(f"\x1b[{_PAINT[style]}m\\1\x1b[0m", text)
    return text
