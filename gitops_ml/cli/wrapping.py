"""Lines that fit a terminal: prose is broken at spaces, a command stays one line that can be copied.

A terminal breaks a long line inside words. A command that is longer than the terminal is left to it: what it breaks is
still copied as one line.
"""

from __future__ import annotations

import re

_PROGRAMS = "gitops-ml|git|dvc|docker|pip|uv|python3|apt-get|make|journalctl|export|unset|ss|cd|ssh"
_COMMAND = re.compile(rf"(?<![\w./-])(?:{_PROGRAMS}) .*?(?=[,;:)]?(?: and | or | in |, |; | \(|$))|`[^`]+`")
"""A command in a sentence, up to where the sentence goes on."""
_LABEL = re.compile(r" *(?:fix|next):(?= )")
_JOINED = "\x00"
"""Stands for a space inside a command. Text that is printed was cleaned of it before."""


def fit(text: str, width: int, indent: int = 2) -> str:
    """Break the lines of a cleaned text at spaces outside of commands, so that they fit `width` columns if they can.

    Args:
        indent: columns before what continues a line; behind `fix:` and `next:` it is aligned with what they say.
    """
    return "\n".join(_fit_line(line, width, indent) for line in text.split("\n"))


def _fit_line(line: str, width: int, indent: int) -> str:
    if len(line) <= width:
        return line
    from textwrap import wrap

    label = _LABEL.match(line)
    whole = _COMMAND.sub(lambda command: command[0].replace(" ", _JOINED), line)
    if label:  # stays with the first word or command
        whole = f"{label[0]}{_JOINED}{whole[label.end() + 1 :]}"
    leading = len(line) - len(line.lstrip(" "))
    lines = wrap(
        whole[leading:],
        width,
        initial_indent=" " * leading,
        subsequent_indent=" " * (label.end() + 1 if label else indent),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(lines).replace(_JOINED, " ")
