"""What the project's key signs of a published generation: its channel, its files, and its place in the order of all.

A statement is made once, when a rollout has built its candidate, and kept in the journal. So containers that are made
again say the same, and an incumbent is published again as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import msgspec

from gitops_ml.artifacts.content import FileContent

NAMESPACE = "gitops-ml-channel"
"""The namespace of the signatures (`ssh-keygen -n`): the signature of a commit or a file is none of a channel."""


class SignedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """A statement and its signature (SSHSIG, armoured). `order` is the statement's: milliseconds since 1970."""

    statement: str
    signature: str
    order: int


def make_statement(
    channel: str, generation: str, version: str, files: Mapping[str, FileContent], *, order: int, back_to: int | None
) -> str:
    """The text to sign.

    Args:
        channel: `<project>/<environment>/<deployment>`.
        generation: its fingerprint.
        files: all files of the model, by path. One digest stands for all: SHA-256 (hex) over a line `path NUL size NUL
            sha256` for each.
        order: grows with each statement. A subscriber refuses a smaller one than it has seen.
        back_to: the incumbent's order, which is accepted all the same: the incumbent is published again if the
            generation fails. None without a signed incumbent.
    """
    lines = (
        f"{path}\0{len(content)}\0{hashlib.sha256(content).hexdigest()}\n" for path, content in sorted(files.items())
    )
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    said = {"schema": 1, "channel": channel, "generation": generation, "version": version, "files": digest}
    return json.dumps(said | {"order": order, "back_to": back_to})
