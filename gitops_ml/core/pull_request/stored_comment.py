"""The comment as it is stored on a forge: a hidden marker, the comment, and what it said for earlier commits.

What is remembered stands in the comment itself, so that no other place has to keep it. People can edit it, so it is
read as data and shown as text.
"""

from __future__ import annotations

import re

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.core.pull_request.comment import comment
from gitops_ml.core.pull_request.facts import PullRequest
from gitops_ml.core.pull_request.length import LIMIT
from gitops_ml.core.pull_request.markdown import code, details, prose

_KEPT, _SUMMARY = 5, 150
_STATE = re.compile(r"<!-- gitops-ml-state (\{.*?\}) -->")
_MOST = 16_384
"""The most that marker and memory take."""


class _State(msgspec.Struct, frozen=True):
    """What the comment said in its first line, for which commit."""

    commit: str
    summary: str


class _Memory(msgspec.Struct, frozen=True):
    """The present state, and the earlier ones, the newest first."""

    now: _State
    earlier: tuple[_State, ...] = ()


def marker(project: str) -> str:
    """The hidden line that the comment of a project begins with. `project` is a DNS label."""
    return f"<!-- gitops-ml-plan {project} -->"


def commit_of(stored: str) -> str | None:
    """The commit that a stored comment is about."""
    memory = _read(stored)
    return memory.now.commit if memory else None


def stored_comment(request: PullRequest, before: str = "") -> str:
    """The comment with its marker, and with the states that the stored comment `before` tells of, folded."""
    old = _read(before)
    earlier = (old.now, *old.earlier) if old else ()
    earlier = tuple(state for state in earlier if state.commit != request.head)[:_KEPT]
    text = comment(request, LIMIT - _MOST)
    earlier = tuple(_State(state.commit[:40], state.summary[:_SUMMARY]) for state in earlier)
    now = _State(request.head, _plain(text.partition("\n")[0]))
    folded = [f"- {code(state.commit[:12])}: {prose(state.summary, _SUMMARY)}" for state in earlier]
    parts = [marker(request.project), _hidden(_Memory(now, earlier)), text]
    if folded:
        parts.append(details(f"Earlier commits ({len(folded)})", "\n".join(folded)))
    return "\n\n".join(parts)


def _read(stored: str) -> _Memory | None:
    match = _STATE.search(stored)
    try:
        return decode(match[1], _Memory) if match else None
    except msgspec.MsgspecError:
        return None


def _hidden(memory: _Memory) -> str:
    # Neither the end of the hidden part nor an element may be in it.
    text = (
        msgspec.json.encode(memory).decode().replace("<", r"\u003c").replace(">", r"\u003e").replace("--", r"-\u002d")
    )
    return f"<!-- gitops-ml-state {text} -->"


def _plain(markdown: str) -> str:
    """A line of Markdown as text."""
    return re.sub(r"&#8203;|\*\*|[`\\]", "", markdown).strip()[:_SUMMARY]
