"""Checks that only advise, from the live rows that model servers keep: drift and agreement.

Whatever goes wrong here is said and changes no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitops_ml.clients.gateway.samples import read_samples
from gitops_ml.control.checks.ask import answers_in, ask, manifest_of
from gitops_ml.control.session import Session
from gitops_ml.core.declaration.checks import AgreementCheck, DriftCheck
from gitops_ml.core.generation import Generation
from gitops_ml.core.observed import Container
from gitops_ml.core.verification.samples import Samples
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import GitopsError

REFERENCE = "reference.json"


def drift(session: Session, spec: DriftCheck, generation: Generation, live: Sequence[Container]) -> CheckResult:
    """What users ask of the containers `live`, against what `generation` was trained on."""
    from gitops_ml.core.verification.feature_drift import judge_drift, parse_reference

    try:
        samples = _samples(session, live, generation.port)
        files = session.models.artifact(generation) if generation.pattern == "service" else {}
        reference = parse_reference(files[REFERENCE]) if REFERENCE in files else None
    except GitopsError as error:
        return _unknown("drift", error)
    return judge_drift(spec, reference, samples)


def agreement(
    session: Session,
    spec: AgreementCheck,
    candidate: tuple[Container, Generation],
    incumbent: tuple[Container, Generation],
    live: Sequence[Container],
) -> CheckResult:
    """The live rows of the containers `live`, answered once more by both."""
    from gitops_ml.core.verification.agreement import judge_agreement

    generation, other = candidate[1], incumbent[1]
    try:
        samples = _samples(session, live, other.port)
        manifest = manifest_of(session, generation)
        if manifest is None:
            return CheckResult(
                name="agreement", result="inconclusive", reason="its model has no manifest", advisory=True
            )
        bodies = [samples.body()] if samples.rows >= spec.min_rows else []
        targets = {"candidate": candidate, "incumbent": incumbent}
        found = ask(session, generation, targets, example=None, bodies=bodies)["targets"] if bodies else {}
    except GitopsError as error:
        return _unknown("agreement", error)
    return judge_agreement(
        spec,
        samples.rows,
        answers_in(found.get("candidate", {}), manifest),
        answers_in(found.get("incumbent", {}), manifest_of(session, other)),
        manifest,
    )


def _samples(session: Session, live: Sequence[Container], port: int) -> Samples:
    running = [(c.alias, port) for c in live if c.state == "running"]
    return read_samples(session.engine, session.gateway, running)


def _unknown(name: str, error: GitopsError) -> CheckResult:
    return CheckResult(name=name, result="inconclusive", reason=str(error).split("\n")[0], advisory=True)
