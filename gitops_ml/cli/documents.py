"""What a command's output is made of for programs: one JSON document, or one JSON object a line.

`-o json` prints a single object at the end, also when the command fails. `-o ndjson` prints each event as it happens,
and the same object as the last event. Both say `"schema": 1`; errors are `{what, why, fix, code}`, and name the subject
that has them. The schema's number changes when a field is removed or means something else.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from gitops_ml import __version__
from gitops_ml.errors import GitopsError

SCHEMA = 1
# What a terminal obeys and `json.dumps` leaves as it is; see `core.text`.
_UNSAFE_IN_JSON = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class Interrupted(GitopsError):
    """A signal ended the command: Ctrl-C, SIGTERM, or a terminal that was closed. 130 is what shells use for Ctrl-C."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("interrupted", why="a signal ended the command", fix="run it again; it goes on from there")


class CommandOutput:
    """The output of one command.

    Args:
        format: what `-o` says: text, wide, json or ndjson.
        quiet: print no progress.
    """

    def __init__(self, format: str = "text", *, quiet: bool = False) -> None:
        self.format = format
        self.quiet = quiet
        self.result: Mapping[str, Any] | None = None
        self.errors: list[dict[str, Any]] = []

    @property
    def for_programs(self) -> bool:
        return self.format in ("json", "ndjson")

    def note_error(self, problem: GitopsError | str, subject: str = "") -> None:
        """Add an error to the document, or print it as an event."""
        if not self.for_programs:
            return
        fields = error_fields(problem, subject)
        if fields in self.errors:
            return
        self.errors.append(fields)
        self.event("error", **fields)

    def event(self, name: str, **fields: Any) -> None:
        """Print an event at once if events are wanted."""
        if self.format == "ndjson":
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            print(as_json({"schema": SCHEMA, "event": name, "at": at, **fields}, indent=None), flush=True)

    def end(self) -> None:
        """Print the document of a command for programs."""
        document = {**(self.result or {}), "errors": self.errors}
        if self.format == "json":
            print(as_json({"schema": SCHEMA, **document}), flush=True)
        elif self.format == "ndjson":
            self.event("result", **document)


current = CommandOutput()
"""The output of the command that runs."""


@contextmanager
def command(format: str, *, quiet: bool) -> Iterator[None]:
    """The time of one command. Prints the document at its end, with the error that ended the command if one did."""
    global current
    before, current = current, CommandOutput(format, quiet=quiet)
    try:
        yield
    except GitopsError as error:
        current.note_error(error)
        current.end()
        raise
    except Exception as error:
        # An exit code travels as an exception too, and is no error.
        if not hasattr(error, "exit_code"):
            current.note_error(unforeseen(error))
        current.end()
        raise
    except KeyboardInterrupt:
        current.note_error(Interrupted())
        current.end()
        raise
    else:
        current.end()
    finally:
        current = before


def show(**fields: Any) -> None:
    """Set the fields of the document, which is printed when the command ends."""
    current.result = fields


def show_struct(value: object) -> None:
    """Set the document to the fields of a struct."""
    import msgspec

    show(**msgspec.to_builtins(value))


def unforeseen(error: Exception) -> GitopsError:
    """The error for an exception that no code expected."""
    return GitopsError(
        f"unforeseen {type(error).__name__}",
        why=str(error),
        fix=f"run it again; if that fails too, report the traceback above and gitops-ml {__version__}",
    )


def error_fields(problem: GitopsError | str, subject: str = "") -> dict[str, Any]:
    """An error as JSON has it. The text of an error that was stored as one is taken apart again."""
    if isinstance(problem, GitopsError):
        fields = {"what": problem.what, "why": problem.why, "fix": problem.fix, "code": problem.exit_code}
    else:
        what, _, fix = problem.partition("\n  fix: ")
        fields = {"what": what, "why": "", "fix": fix, "code": GitopsError.exit_code}
    return {"subject": subject} | fields if subject else fields


def without_command(arguments: list[str], error: GitopsError) -> None:
    """Print the document of a command that did not begin, if its arguments ask for one."""
    format = next((word for word in ("ndjson", "json") if _asks_for(arguments, word)), "text")
    with_error = CommandOutput(format)
    with_error.note_error(error)
    with_error.end()


def _asks_for(arguments: list[str], format: str) -> bool:
    joined = {f"-o{format}", f"--output={format}"} | ({"--json"} if format == "json" else set())
    pairs = itertools.pairwise(arguments)
    return bool(joined & set(arguments)) or any(a in ("-o", "--output") and b == format for a, b in pairs)


def as_json(value: Any, indent: int | None = 2) -> str:
    """A value as JSON that is safe to show: control characters are escaped. Structs become objects, times ISO 8601."""
    import msgspec

    text = json.dumps(msgspec.to_builtins(value), indent=indent, ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def on_terminal() -> bool:
    """Whether people read stdout on a terminal."""
    return current.format in ("text", "wide") and sys.stdout.isatty()
