"""A team's own checks, each with a boundary of its own: what one of them meets says nothing about the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.session import CommandContext, ReadOnlySession
from gitops_ml.core.declaration.checks import OwnCheck
from gitops_ml.core.generation import Generation
from gitops_ml.core.observed import Container
from gitops_ml.core.text import clean_line, first_line
from gitops_ml.core.verification.own_checks import CheckSubject, unanswered
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import GitopsError, InputError


@dataclass(frozen=True)
class CheckPlace:
    """Where a generation is judged by a team's own checks.

    Args:
        endpoint: where it answers, without `/infer`, for who asks from the engine's host.
        container: its container, if the container is asked, and not the gateway.
        commit: the commit that declares the checks.
    """

    endpoint: str
    container: Container | None
    commit: str


def run_own_checks(
    session: ReadOnlySession,
    checks: Sequence[OwnCheck],
    generation: Generation,
    place: CheckPlace,
    go_on: Callable[[], None],
) -> list[CheckResult]:
    """Run these checks one after the other. A check that meets an unforeseen error is inconclusive.

    Args:
        go_on: called repeatedly while waiting; what it raises ends the waiting.
    """
    subject = CheckSubject(
        environment=session.environment,
        deployment=generation.deployment,
        version=generation.version,
        generation=generation.fingerprint,
        endpoint=place.endpoint,
    )
    commands = CommandContext(
        files=lambda: session.models.commit_files(place.commit),
        endpoint=session.servers.inner_address(generation, place.container),
    )
    return [_run(session, check, subject, commands, go_on) for check in checks]


def _run(
    session: ReadOnlySession,
    check: OwnCheck,
    subject: CheckSubject,
    commands: CommandContext,
    go_on: Callable[[], None],
) -> CheckResult:
    try:
        result = session.servers.run_own_checks([check], subject, commands, go_on)[0]
    except InputError as error:
        result = unanswered(check, first_line(error))
    except GitopsError:
        raise
    except Exception as error:
        result = unanswered(check, first_line(as_gitops_error(error, f"{session.environment}/{subject.deployment}")))
    return msgspec.structs.replace(result, reason=clean_line(result.reason))
