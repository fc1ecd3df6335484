"""Signs with an SSH key, by `ssh-keygen`, as Git does. The key never leaves the machine that reconciles."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from gitops_ml.artifacts.content import FileContent
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import DeploymentState
from gitops_ml.core.operator_settings import SIGNING_KEY
from gitops_ml.core.signed_statement import NAMESPACE, SignedStatement, make_statement
from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError

_SECONDS = 30.0


def sign_candidate(
    candidate: Generation,
    state: DeploymentState,
    files: Mapping[str, FileContent],
    now: datetime,
    key: str,
    environment: str,
) -> SignedStatement:
    """Sign what the channel of a rollout's candidate will publish. Raises `InputError` where the key cannot sign.

    Args:
        state: the rollouts so far; the open one is the candidate's.
        files: all files of its model.
        now: the engine's clock. Where it went back, the order still grows.
        key: see `sign`.
        environment: `<project>/<environment>`.
    """
    incumbent = state.open.incumbent if state.open else None
    earlier = [attempt.generation.signed for attempt in state.attempts]
    order = max([int(now.timestamp() * 1000), *(signed.order + 1 for signed in earlier if signed)])
    statement = make_statement(
        f"{environment}/{candidate.deployment}",
        candidate.fingerprint,
        candidate.version,
        files,
        order=order,
        back_to=incumbent.signed.order if incumbent and incumbent.signed else None,
    )
    return SignedStatement(statement=statement, signature=sign(statement, key, NAMESPACE), order=order)


def require_never_signed(state: DeploymentState, candidate: Generation) -> None:
    """Raise `InputError` where a channel was signed before: its subscribers may refuse what is not."""
    if any(attempt.generation.signed for attempt in state.attempts):
        raise InputError(
            f"{candidate.deployment} {candidate.version} would be published without a signature",
            why=f"its channel was signed so far, and {SIGNING_KEY} is not set here",
            fix=f"export {SIGNING_KEY}=KEY, the file of the key; another deployment's channel may begin without",
        )


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
            fix=_how_to_sign(Path(key)),
        )
    return signed.stdout.decode()


def _how_to_sign(key: Path) -> str:
    if key.suffix == ".pub":
        return f"ssh-add {key.with_suffix('')}, with the SSH agent that SSH_AUTH_SOCK names here"
    return f"ssh-keygen {'-p' if key.exists() else '-t ed25519'} -N '' -f {key}"
