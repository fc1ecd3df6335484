"""Checks that only advise, from the live rows that model servers keep: drift and agreement.

Whatever goes wrong in such a check makes that check inconclusive, and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.checks.model import answers_in, files_of, manifest_of
from gitops_ml.control.session import Question, ReadOnlySession
from gitops_ml.core.declaration.checks import AgreementCheck, DriftCheck
from gitops_ml.core.generation import Generation
from gitops_ml.core.observed import Container
from gitops_ml.core.text import first_line
from gitops_ml.core.verification.probe_result import TargetResult
from gitops_ml.core.verification.samples import Samples
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import LockLost, Superseded

Served = tuple[Container, Generation]


def drift(session: ReadOnlySession, spec: DriftCheck, generation: Generation, live: Sequence[Container]) -> CheckResult:
    """Compare what users ask of the containers `live` with the training data of `generation`."""

    def judge() -> CheckResult:
        from gitops_ml.core.verification.feature_drift import judge_drift, parse_reference  # numpy

        samples = _samples(session, live, generation.port)
        files = files_of(session, generation)
        reference = parse_reference(files.reference) if files and files.reference is not None else None
        return judge_drift(spec, reference, samples)

    return _advise("drift", session, generation, judge)


class HeldOutAnswers(NamedTuple):
    """What candidate and incumbent answered to the same held-out rows."""

    rows: int
    candidate: TargetResult
    incumbent: TargetResult


def agreement(
    session: ReadOnlySession,
    spec: AgreementCheck,
    candidate: Served,
    incumbent: Served,
    live: Sequence[Container],
    held_out: HeldOutAnswers | None = None,
) -> CheckResult:
    """Have the live rows of the containers `live` answered once more by both, and compare the answers.

    An application keeps no live rows: its answers to the held-out rows are compared, if there are any.
    """
    generation, other = candidate[1], incumbent[1]

    def judge() -> CheckResult:
        from gitops_ml.core.verification.agreement import judge_agreement  # numpy

        manifest = manifest_of(session, generation)
        if manifest is None:
            return _inconclusive("agreement", "its model has no manifest")
        if held_out and other.pattern != "service":
            answers = (
                answers_in(held_out.candidate, manifest),
                answers_in(held_out.incumbent, manifest_of(session, other)),
            )
            return judge_agreement(spec, held_out.rows, *answers, manifest, kind="held-out")
        samples = _samples(session, live, other.port)
        bodies = [samples.body()] if samples.rows >= spec.min_rows else []
        question = Question(generation, {"candidate": candidate, "incumbent": incumbent}, bodies=bodies)
        results = session.servers.ask(question, session.go_on) if bodies else {}
        return judge_agreement(
            spec,
            samples.rows,
            answers_in(results.get("candidate"), manifest),
            answers_in(results.get("incumbent"), manifest_of(session, other)),
            manifest,
        )

    return _advise("agreement", session, generation, judge)


def _advise(
    name: str, session: ReadOnlySession, generation: Generation, judge: Callable[[], CheckResult]
) -> CheckResult:
    try:
        return judge()
    except (LockLost, Superseded):
        raise
    except Exception as error:
        return _inconclusive(
            name, first_line(as_gitops_error(error, f"{session.environment}/{generation.deployment} {name}"))
        )


def _samples(session: ReadOnlySession, live: Sequence[Container], port: int) -> Samples:
    return session.servers.samples([(c.alias, port) for c in live if c.state == "running"])


def _inconclusive(name: str, reason: str) -> CheckResult:
    return CheckResult(name=name, result="inconclusive", reason=reason, advisory=True)
