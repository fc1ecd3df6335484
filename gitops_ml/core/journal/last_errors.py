"""The last error of each deployment, as the journal's entries leave it: it comes and goes, and is no verdict."""

from __future__ import annotations

import msgspec

from gitops_ml.core.journal.entries import Erred
from gitops_ml.core.journal.state import EnvironmentState, LastError


def note_error(state: EnvironmentState, entry: Erred) -> EnvironmentState:
    """Keep the error of an entry in the place of the earlier one of its kind; forget that one if there is none now."""
    state = forget_error(state, entry.deployment, healing=entry.healing)
    if not entry.what:
        return state
    error = LastError(at=entry.at, what=entry.what, why=entry.why, fix=entry.fix, healing=entry.healing)
    errors = {**state.errors, entry.deployment: (*state.errors.get(entry.deployment, ()), error)}
    return msgspec.structs.replace(state, errors=errors)


def forget_error(state: EnvironmentState, deployment: str, *, healing: bool) -> EnvironmentState:
    """Forget the error of a deployment's healing, or of its rollout."""
    if state.error_of(deployment, healing=healing) is None:
        return state
    others = {name: errors for name, errors in state.errors.items() if name != deployment}
    remaining = tuple(error for error in state.errors[deployment] if error.healing != healing)
    return msgspec.structs.replace(state, errors={**others, deployment: remaining} if remaining else others)
