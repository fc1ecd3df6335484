"""Who signed a commit, by SSH keys and GPG keys that the caller names; never by those of whoever runs this."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.git.clone import Clone
from gitops_ml.errors import SourceError

SSH_SIGNERS = ".gitops-ml/allowed_signers"
GPG_KEYS = ".gitops-ml/gpg"
_SECONDS = 30.0
_SIGNATURE = re.compile(rb"^gpgsig(?:-sha256)? (.+)$", re.MULTILINE)
"""An author's name or a merged tag may hold what looks like a signature, too."""
_BY_GPG = {b"-----BEGIN SSH SIGNATURE-----": False, b"-----BEGIN PGP SIGNATURE-----": True}
_OTHERS = "gpg.x509.program=false"


class Signers(NamedTuple):
    """Who may sign.

    Args:
        ssh: lines as `ssh-keygen -Y verify` reads them (ALLOWED SIGNERS in ssh-keygen(1)).
        gpg: armoured public keys, by the fingerprint of the primary key: 40 hexadecimal digits, in upper case.
    """

    ssh: bytes = b""
    gpg: Mapping[str, bytes] = {}


def verify_commit_signature(clone: Clone, commit: str, signers: Signers) -> str:
    """The principal of the SSH key, or the user of the GPG key, that signed `commit`.

    Raises SourceError if none of `signers` did."""
    fix = f"sign it (git commit --amend -S), or add the key to {SSH_SIGNERS} or {GPG_KEYS} in a signed commit"
    found = clone.read_object(f"{commit}^{{commit}}")
    header = (found.data or b"").partition(b"\n\n")[0] if found else b""
    kinds = _SIGNATURE.findall(header)
    by_gpg = _BY_GPG.get(kinds[0]) if len(kinds) == 1 else None
    if by_gpg is None:
        raise SourceError(f"commit {commit[:12]} is not signed with an SSH or GPG key", fix=fix)
    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
        options = _with_keyring(Path(folder), signers) if by_gpg else _with_list(Path(folder), signers)
        verified = clone.git.run(
            *(word for option in options for word in ("-c", option)),
            # Not `rev-list`, which does not read gpg.ssh.* (Git 2.39).
            *("log", "--max-count=1", "--no-show-signature", "--format=%G?%n%GP%n%GS", commit),
            env={"GNUPGHOME": folder},
        )
    state, key, signer = (*verified.text.split("\n", 2), "", "")[:3]
    if verified.code != 0 or state != "G" or (by_gpg and key not in signers.gpg):
        raise SourceError(
            f"commit {commit[:12]} is not signed by anyone in {GPG_KEYS if by_gpg else SSH_SIGNERS}",
            why=verified.messages.split("\n")[-1] or f"git says '{state}'",
            fix=fix,
        )
    return signer.strip()


def _with_list(folder: Path, signers: Signers) -> tuple[str, ...]:
    allowed = folder / "allowed_signers"
    allowed.write_bytes(signers.ssh)
    others = "gpg.program=false", "gpg.openpgp.program=false", _OTHERS
    return f"gpg.ssh.allowedSignersFile={allowed}", "gpg.ssh.revocationFile=", "gpg.ssh.program=ssh-keygen", *others


def _with_keyring(folder: Path, signers: Signers) -> tuple[str, ...]:
    """Make a GnuPG home of these keys alone. A key that is expired or revoked in its file signs nothing."""
    (folder / "gpg.conf").write_text("batch\nno-autostart\ntrust-model always\nno-auto-key-retrieve\n")
    for number, key in enumerate(signers.gpg.values()):
        file = folder / f"{number}.asc"
        file.write_bytes(key)
        try:
            words = ("gpg", "--homedir", str(folder), "--quiet", "--import", str(file))
            subprocess.run(words, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceError(
                "GPG signatures cannot be checked", why=str(error), fix="apt-get install gnupg"
            ) from error
    others = "gpg.ssh.program=false", _OTHERS
    return "gpg.program=gpg", "gpg.openpgp.program=gpg", "gpg.minTrustLevel=undefined", *others
