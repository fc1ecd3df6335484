"""Writes what every page has many times: states, times, commits, figures, and pictures as inline SVG.

A template takes ten times as long. All texts come from records, so all of them are escaped here. Looks are class names
of this package.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from html import escape

from markupsafe import Markup

from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.page import words
from gitops_ml.page.facts import CommitFacts
from gitops_ml.page.pictures.shapes import Picture, Shape

_KEYS = {
    "bound": '<line class="bound" x1="9" y1="0" x2="9" y2="12"/>',
    "whisker": '<path class="whisker" d="M1 6H17M1 2V10M17 2V10"/>',
    "bar": '<rect class="{}" x="1" y="2" width="16" height="8"/>',
    "dot": '<circle class="{}" cx="9" cy="6" r="4.5"/>',
}


@lru_cache(words.KEPT)
def state(word: str) -> Markup:
    """A state, in the colour of what it means."""
    return Markup(f'<span class="state {words.tone(word)}">{escape(word)}</span>')


@lru_cache(words.KEPT)
def time(value: str | datetime | None) -> Markup:
    """A time, for people and for programs."""
    shown, machine = escape(words.when(value)), words.machine_time(value)
    return Markup(f'<time datetime="{machine}">{shown}</time>' if machine else shown or "unknown")


def commit(id: str, facts: CommitFacts | None) -> Markup:
    """A commit by its id, and its subject and author where the clone has it."""
    code = f'<code title="{escape(id)}">{escape(id[:12])}</code>'
    if facts is None:
        return Markup(code)
    author = f'<span class="quiet">by {escape(facts.author)}, {time(facts.at)}</span>'
    return Markup(f"{code} {escape(facts.subject)} {author}")


def figure(picture: Picture) -> Markup:
    """A picture with its legend."""
    keys = "".join(f"<span>{_key(style)}{escape(text)}</span> " for style, text in picture.legend)
    caption = f"\n<figcaption>{keys}</figcaption>" if keys else ""
    return Markup(f"<figure>\n{drawing(picture)}{caption}\n</figure>")


def drawing(picture: Picture, style: str = "") -> Markup:
    """A picture alone. A screen reader gets its title and what it says in words."""
    label = escape(f"{picture.title}: {picture.description}")
    shapes = "".join(map(_shape, picture.shapes))
    return Markup(
        f'<svg class="{style}" viewBox="0 0 {picture.width:g} {picture.height:g}" role="img" aria-label="{label}">'
        f"{shapes}</svg>"
    )


def figures_table(check: CheckResult) -> Markup:
    """The figures of a check as the rows of a table."""
    rows = (
        f'<tr><th scope="row">{escape(words.figure_name(name))}</th><td>{escape(words.figure(value))}</td></tr>\n'
        for name, value in check.figures.items()
    )
    return Markup("".join(rows))


def _key(style: str) -> str:
    kind = style.partition(" ")[0]
    mark = _KEYS.get(kind, _KEYS["dot"]).format(style)
    return f'<svg class="key" viewBox="0 0 18 12" aria-hidden="true">{mark}</svg>'


def _shape(shape: Shape) -> str:
    kind, style, a, b, c, d, text, anchor = shape
    if kind == "rect":
        return f'<rect class="{style}" x="{a:.6g}" y="{b:.6g}" width="{c:.6g}" height="{d:.6g}"/>'
    if kind == "line":
        return f'<line class="{style}" x1="{a:.6g}" y1="{b:.6g}" x2="{c:.6g}" y2="{d:.6g}"/>'
    if kind == "dot":
        return f'<circle class="{style}" cx="{a:.6g}" cy="{b:.6g}" r="{c:.6g}"/>'
    if kind == "path":
        return f'<path class="{style}" d="{escape(text)}"/>'
    return f'<text class="{style}" x="{a:.6g}" y="{b:.6g}" text-anchor="{anchor}">{escape(text)}</text>'
