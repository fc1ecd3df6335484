"""A person's stop on a deployment, and its end: edits of its declaration, so that everybody sees who and why."""

from __future__ import annotations

from datetime import UTC, datetime

from gitops_ml.clients.edits.edit import CommitOptions, Written, existing, write
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError


def hold(
    repo: Repository, environment: str, deployment: str, *, reason: str, until: datetime | None, wish: CommitOptions
) -> Written:
    """Declare a hold, in place of one that is there. Raises `InputError` for one that would be over already."""
    if not reason.strip():
        raise InputError("a hold needs a reason", fix="--reason 'why, for whoever finds it'")
    if until is not None and until <= datetime.now(UTC):
        raise InputError(
            f"{until:%Y-%m-%dT%H:%M:%SZ} is over already", why="a hold ends in the future", fix="--for 2h, or --until"
        )
    old, text = existing(repo, environment, deployment)
    end = {"until": until} if until else {}
    edited = set_fields(text, {"hold": {"reason": reason.strip(), **end}}, old.file)
    spoken = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    message = f"Hold {deployment} in {environment}{spoken}\n\n{reason.strip()}\n"
    return write(repo, old, edited, message, wish)


def release(repo: Repository, environment: str, deployment: str, *, wish: CommitOptions) -> Written:
    """Take a hold away; nothing is changed where there is none."""
    old, text = existing(repo, environment, deployment)
    was = get_field(text, "hold.reason", old.file)
    message = f"Release {deployment} in {environment}\n\nIt was held: {was}\n"
    return write(repo, old, set_fields(text, {"hold": None}, old.file), message, wish)
