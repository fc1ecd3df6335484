"""Keeping a comment within what a forge takes: the least important parts are shortened first, and that is said."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

LIMIT = 65_536
"""The most characters that GitHub takes in one comment, the least of the forges."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a comment.

    Args:
        forms: Markdown from the longest to the shortest form; an empty one leaves the part out.
        name: what is said to be left out, in Markdown.
        importance: the parts with the lowest are shortened first; 0 is the lowest.
    """

    name: str
    importance: int
    forms: tuple[str, ...]


def fit(parts: Sequence[Part], limit: int = LIMIT) -> str:
    """Join the parts with empty lines between them, in at most `limit` characters.

    A part that is too long even in its shortest form is cut at the end of a line.
    """
    chosen = [0] * len(parts)
    text = _joined(parts, chosen)
    while len(text) > limit:
        shrinkable = [n for n, part in enumerate(parts) if chosen[n] + 1 < len(part.forms)]
        if not shrinkable:
            note = _note(parts, chosen) or "Cut here: a comment cannot be longer."
            kept = text[: max(0, limit - len(note) - 2)]
            return f"{kept[: kept.rfind(chr(10)) + 1]}\n{note}"[:limit]
        least = min(shrinkable, key=lambda n: (parts[n].importance, -len(parts[n].forms[chosen[n]])))
        chosen[least] += 1
        text = _joined(parts, chosen)
    return text


def _joined(parts: Sequence[Part], chosen: Sequence[int]) -> str:
    texts = [part.forms[form] for part, form in zip(parts, chosen, strict=True) if part.forms[form]]
    return "\n\n".join([*texts, *filter(None, [_note(parts, chosen)])])


def _note(parts: Sequence[Part], chosen: Sequence[int]) -> str:
    names = list(dict.fromkeys(part.name for part, form in zip(parts, chosen, strict=True) if form))
    if not names:
        return ""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"_Shortened, since a comment can have {LIMIT:,} characters at most: {', '.join(names[:10])}{more}._"
