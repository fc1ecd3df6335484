"""Hold and release: a person's stop on a deployment, and its end, declared so that everybody sees who and why."""

from __future__ import annotations

from datetime import UTC, datetime

from gitops_ml.clients.edits.declarations import read_declaration
from gitops_ml.clients.edits.edit import CommitOptions, Written, before_edit, write
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError


def hold(
    repo: Repository, environment: str, deployment: str, *, reason: str, until: datetime | None, options: CommitOptions
) -> Written:
    """Declare a hold, in place of an earlier one. Raises `InputError` for an end in the past."""
    reason = clean_line(reason)
    if not reason:
        raise InputError("a hold needs a reason", fix="--reason 'why, for whoever finds it'")
    if until is not None and until <= datetime.now(UTC):
        raise InputError(
            f"{until:%Y-%m-%dT%H:%M:%SZ} is over already", why="a hold ends in the future", fix="--for 2h, or --until"
        )
    old, text = read_declaration(repo, environment, deployment, at=options.onto)
    end = {"until": until} if until else {}
    edited = set_fields(text, {"hold": {"reason": reason, **end}}, old.file)
    shown_end = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    message = f"Hold {deployment} in {environment}{shown_end}\n\n{reason}\n"
    return write(repo, old, edited, message, options)


def release(repo: Repository, environment: str, deployment: str, *, options: CommitOptions) -> Written:
    """Remove a hold. Nothing is changed where there is none."""
    old, text = read_declaration(repo, environment, deployment, at=options.onto)
    reason = clean_line(str(get_field(before_edit(old, options) or text, "hold.reason", old.file)))
    message = f"Release {deployment} in {environment}\n\nIt was held: {reason}\n"
    return write(repo, old, set_fields(text, {"hold": None}, old.file), message, options)
