"""What a pass writes into the journal about its errors, so that a later `status` can tell them."""

from __future__ import annotations

from collections.abc import Collection

from gitops_ml.control.backoff import deployment_of, is_healing
from gitops_ml.control.execution.executor import ExecutionResult
from gitops_ml.control.session import Session
from gitops_ml.core.journal.entries import Erred
from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError


def error_entries(session: Session, result: ExecutionResult, declared: Collection[str]) -> list[Erred]:
    """The entries for errors that are new, and for errors that are over.

    An error with the same `what` is the same: its reason may name a container or a time, another one at each pass.

    Args:
        declared: the deployments that `status` shows; errors of others are not kept.
    """
    entries = []
    ended: dict[str, GitopsError | None] = {**dict.fromkeys(result.succeeded), **result.errors}
    for name, error in sorted(ended.items()):
        deployment, healing = deployment_of(name), is_healing(name)
        if deployment not in declared:
            continue
        last = session.state.error_of(deployment, healing=healing)
        if error is None and last is not None:
            entries.append(Erred(at=session.now().isoformat(), deployment=deployment, healing=healing))
        elif error is not None and (last is None or last.what != clean_line(error.what)):
            entries.append(
                Erred(
                    at=session.now().isoformat(),
                    deployment=deployment,
                    healing=healing,
                    what=error.what,
                    why=error.why,
                    fix=error.fix,
                )
            )
    return entries
