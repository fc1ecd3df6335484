"""Statements about models, signed with a key of the project as the reconciler signs them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from gitops_ml.clients.signing import sign
from gitops_ml.core.signed_statement import NAMESPACE, make_statement

CHANNEL = "shop/prod/churn"


def project_key(folder: Path) -> Path:
    """Make the key `project` in a folder, and a list that lets it sign for any channel. Returns the list."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "project")], check=True)
    allowed = folder / "allowed_signers"
    allowed.write_text(f'*/* namespaces="{NAMESPACE}" {(folder / "project.pub").read_text()}')
    return allowed


def signed(
    folder: Path,
    generation: str,
    version: str,
    /,
    *,
    key: Path,
    order: int,
    back_to: int | None = None,
    namespace: str = NAMESPACE,
    **others: Any,
) -> dict[str, str]:
    """What is signed of the files of a folder. `others` are said instead: channel, generation, version or files."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = {"channel": CHANNEL, "generation": generation, "version": version, "files": files} | others
    statement = make_statement(**said, order=order, back_to=back_to)
    return {"statement": statement, "signature": sign(statement, str(key), namespace)}
