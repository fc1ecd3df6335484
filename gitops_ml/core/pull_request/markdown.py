"""Markdown for a forge, made from text that nobody vouches for.

Names of models and branches, reasons and error messages are written by people and models. Shown as they are, they could
forge a table's row, mention a person, link elsewhere, or run a command of the forge (GitLab executes lines of a comment
that begin with `/`). So every such text passes through `prose` or `code`, and nothing else here takes any. The dialect
is GitHub Flavored Markdown (https://github.github.com/gfm/), which GitLab, Gitea and Forgejo read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gitops_ml.core.text import clean_line

_PLAIN_CODE = re.compile(r"[A-Za-z0-9 ._/:=,+%()\[\]{}'\"?*-]+")
"""What a code span shows as it is, also in a table's cell."""
_BREAK = "&#8203;"
"""A zero-width space: a forge looks for mentions, references and addresses after Markdown, so escapes do not help."""
_MARKS = re.compile(r"[\\`*_{}\[\]()|~$#!]")
_AT_START = re.compile(r"^([-+=/:>]|\d+(?=[.)]))")
_IN_HTML = re.compile(r"([@#!]|&amp;|%)(?=\w)|(:)(?=[a-z+-][\w+-]*:)|(?i:(://)|(www)(?=\.)|(GH)(?=-))")
_LINKS = re.compile(r"(@)|(\\#)|(\\!|&amp;|%)(?=\w)|(:)(?=[a-z+-][\w+-]*:)|(?i:(://)|(www)(?=\.)|(GH)(?=-))")


def prose(text: str, limit: int = 300) -> str:
    """Make a text safe within a paragraph, a list or a table's cell. It stays readable, and gets no effect.

    Args:
        limit: characters to keep of the text.
    """
    line = clean_line(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _MARKS.sub(r"\\\g<0>", line)
    line = _LINKS.sub(_broken, line)
    return _AT_START.sub(lambda match: f"{_BREAK}{match[0]}", line)


def _broken(match: re.Match[str]) -> str:
    word = match[0]
    return f"{word[0]}{_BREAK}{word[1:]}" if word == "://" else f"{word}{_BREAK}"


def code(text: str, limit: int = 120) -> str:
    """Make a text a code span: names, versions, paths, values, and commands to copy."""
    line = clean_line(text, limit)
    if not line:
        return ""
    if _PLAIN_CODE.fullmatch(line) and "://" not in line and "www." not in line:
        return f"`{line}`"
    # A code span of backticks cannot hold every text in a table's cell, and this element can.
    return f"<code>{''.join(c if c.isalnum() or c == ' ' else f'&#{ord(c)};' for c in line)}</code>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Make a table from cells that are Markdown already. `numbers`: the columns that are aligned to the right."""
    right = set(numbers)
    rule = ["--:" if column in right else ":--" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def details(summary: str, body: str) -> str:
    """Fold `body`, which is Markdown already, behind the plain text `summary`.

    Forges read a summary as HTML, where no escape of Markdown counts.
    """
    line = clean_line(summary, 300).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _IN_HTML.sub(_broken, line)
    return f"<details>\n<summary>{line}</summary>\n\n{body}\n\n</details>"


def bar_chart(title: str, unit: str, bars: Sequence[tuple[str, float]]) -> str:
    """Make a chart of horizontal bars that forges draw: https://mermaid.js.org/syntax/xyChart.html.

    Args:
        bars: a label and a value of at least 0 each; no bars make no chart.
    """
    if not bars:
        return ""
    labels = ", ".join(f'"{_label(label)}"' for label, _ in bars)
    values = ", ".join(f"{value:.4g}" if value >= 1e-4 else "0" for _, value in bars)
    top = max(value for _, value in bars) or 1
    lines = (
        "xychart-beta horizontal",
        f'    title "{_label(title, 80)}"',
        f"    x-axis [{labels}]",
        f'    y-axis "{_label(unit)}" 0 --> {top * 1.1:.4g}',
        f"    bar [{values}]",
    )
    return "```mermaid\n" + "\n".join(lines) + "\n```"


def _label(text: str, limit: int = 32) -> str:
    """A text that cannot end a quoted label, nor the block of code that the chart is in.

    `%%` begins a comment anywhere in a line, and an empty label is an error.
    """
    return re.sub("%%+", "%", re.sub(r"[^\w .=<>%,:+/-]", "_", clean_line(text, limit))) or "-"
