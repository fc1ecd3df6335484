"""Cleaning text that comes from models, logs, files and people, before it is stored or shown.

A model's error message can hold escape sequences that rewrite a terminal, line breaks that forge a commit's trailers,
or a megabyte of noise. Every such text goes through `clean` or `clean_line` where it enters, and again where a commit
or a terminal takes it. Cleaning a clean text changes nothing.
"""

from __future__ import annotations

import re

MAX_TEXT = 16_384
"""Characters kept of a text of several lines, such as a log's end."""
MAX_LINE = 2_000
"""Characters kept of one line."""

# Terminal escape sequences as ECMA-48 defines them: CSI, then OSC and its relatives, then two-character ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_LINE_BREAKS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# What is left of C0 and C1 controls, and the marks that change the direction in which text is shown.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Make a text of several lines safe to store and to show.

    Removes escape sequences and control characters except tab and line feed, makes every kind of line break a line
    feed, and replaces lone surrogates by U+FFFD, so that the result encodes as UTF-8.

    Args:
        limit: characters to keep at most. A longer text keeps its end, where a log says what went wrong.
    """
    return _cut_start(_without_controls(_LINE_BREAKS.sub("\n", _ESCAPES.sub("", text))), limit)


def clean_line(text: str, limit: int = MAX_LINE) -> str:
    """Make a text safe to store and to show in one line: as `clean`, with line breaks and tabs as spaces.

    Args:
        limit: characters to keep at most. A longer text keeps its beginning, where a message names the thing.
    """
    line = " ".join(_without_controls(_LINE_BREAKS.sub(" ", _ESCAPES.sub("", text))).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def first_line(text: object) -> str:
    """The first line of a text, or of an error's, cleaned."""
    return clean_line(str(text).split("\n", 1)[0])


def _without_controls(text: str) -> str:
    return _SURROGATES.sub("\ufffd", _INVISIBLE.sub("", text))


def _cut_start(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"…{text[len(text) - limit + 1 :]}"
