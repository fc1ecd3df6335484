"""One comment for each pull request, edited in place, however many jobs write it and whatever happens to it meanwhile.

No forge offers a write that depends on what is there. So it is written first and looked at afterwards: of two comments
that two jobs made at once, both jobs keep the older one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from gitops_ml.clients.forge.forge import Comment, Forge, NewPullRequest
from gitops_ml.errors import ForgeRefused, ForgeUnavailable

_TRIES = 3


class Posted(NamedTuple):
    """What became of a comment, and its address for people."""

    action: Literal["written", "edited", "kept"]
    url: str


def post(forge: Forge, number: int, marker: str, text: Callable[[str], str | None]) -> Posted:
    """Make the comment that begins with `marker` say what `text` makes of what it says now.

    Only comments of the token's own account count, or of programs where the token may not ask for its account:
    anybody may write a comment that begins with the marker.

    Args:
        text: gets the present text, empty where there is none; None keeps it as it is.

    Raises `ForgeRefused` and `ForgeUnavailable`.
    """
    own_name = forge.own_name()
    for _ in range(_TRIES):
        present = _own(forge.comments(number), marker, own_name)
        if not present:
            _add(forge, number, text("") or "", lambda: _own(forge.comments(number), marker, own_name))
            present = _own(forge.comments(number), marker, own_name)
            if len(present) <= 1:
                return Posted("written", present[0].url if present else "")
            continue
        kept, *doubles = present
        for double in doubles:
            forge.delete_comment(number, double.id)
        wanted = text(kept.body)
        if wanted is None or wanted.strip() == kept.body.strip():
            return Posted("kept", kept.url)
        edited = forge.edit_comment(number, kept.id, wanted)
        if edited is not None:
            return Posted("edited", edited.url or kept.url)
    raise ForgeUnavailable(
        f"the comment of pull request {number} could not be written",
        why="somebody deletes it as soon as it is there",
        fix="run it again",
    )


def open_or_edit(forge: Forge, wanted: NewPullRequest) -> Posted:
    """Open the pull request of a branch, or edit the one that is open. Raises as `post`."""
    number = forge.find_pull_request(wanted.branch)
    if number is None:
        try:
            return Posted("written", forge.open_pull_request(wanted))
        except (ForgeUnavailable, ForgeRefused):
            number = forge.find_pull_request(wanted.branch)  # another job was quicker, or the answer was lost
            if number is None:
                raise
    return Posted("edited", forge.edit_pull_request(number, wanted))


def _add(forge: Forge, number: int, body: str, look: Callable[[], list[Comment]]) -> None:
    """Add the comment. Where nobody knows whether the forge took it, it is looked for before anybody writes again."""
    try:
        forge.add_comment(number, body)
    except ForgeUnavailable:
        if not look():
            raise


def _own(comments: list[Comment], marker: str, own_name: str | None) -> list[Comment]:
    """Our comments, the oldest first."""
    ours = [
        comment
        for comment in comments
        if comment.body.lstrip().startswith(marker)
        and (comment.automatic if own_name is None else comment.author == own_name)
    ]
    return sorted(ours, key=lambda comment: comment.id)
