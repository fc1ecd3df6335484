"""Signs with an SSH key, by `ssh-keygen`, as Git does. The key never leaves the machine that reconciles."""

from __future__ import annotations

import subprocess

from gitops_ml.core.operator_settings import SIGNING_KEY
from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError

_SECONDS = 30.0


def sign(text: str, key: str, namespace: str) -> str:
    """The signature (SSHSIG, armoured) of a text.

    Args:
        key: path of a private key without a passphrase, or of a public key whose private half an SSH agent holds.

    Raises `InputError` where the key cannot sign.
    """
    words = ("ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", namespace)
    try:
        # Without a terminal, so that nobody is asked for a passphrase.
        signed = subprocess.run(
            words, input=text.encode(), capture_output=True, timeout=_SECONDS, check=False, start_new_session=True
        )
    except FileNotFoundError as error:
        raise InputError(
            "nothing can be signed", why="ssh-keygen is not installed", fix="apt-get install openssh-client"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError("nothing can be signed", why=str(error), fix=f"ssh-keygen -Y sign -f {key}") from error
    if signed.returncode:
        raise InputError(
            f"{SIGNING_KEY} names {key}, which signs nothing",
            why=clean_line(signed.stderr.decode(errors="replace")),
            fix=f"ssh-keygen -t ed25519 -N '' -f {key}",
        )
    return signed.stdout.decode()
