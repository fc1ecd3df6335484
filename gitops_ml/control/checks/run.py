"""Running the checks of a generation: what is asked of it, of whom else, and the judgement of the answers.

The generation is a candidate, or what serves and is judged again. A team's own checks come after those that the servers
answer; the checks that only advise come last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.artifacts.model_files import ModelFiles
from gitops_ml.control.checks import advisory
from gitops_ml.control.checks.model import answers_in, files_of, manifest_of
from gitops_ml.control.checks.own import CheckPlace, run_own_checks
from gitops_ml.control.checks.rejected import rejected
from gitops_ml.control.session import LOG_TAIL, Question, ReadOnlySession
from gitops_ml.core.declaration.checks import OwnCheck, PrometheusCheck
from gitops_ml.core.generation import Generation
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.text import clean_line, first_line
from gitops_ml.core.verification.probe_result import TargetResult
from gitops_ml.core.verification.verdict import CheckResult, judge_ready, judge_smoke
from gitops_ml.errors import InputError, ModelRejected


@dataclass
class CheckReport:
    """What the checks found, and the candidate's last log lines where one of them failed."""

    checks: list[CheckResult]
    logs: str = ""


@dataclass
class _Holdout:
    """Held-out rows as requests for both models, or why there are none."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    rows: Any = None
    manifest: Manifest | None = None
    incumbent: Manifest | None = None
    refused: str = ""


def readiness(session: ReadOnlySession, generation: Generation, containers: Sequence[Container]) -> CheckResult:
    """Judge whether all these replicas came up as declared, within the generation's start time-out."""
    question = Question(generation, {c.alias: (c, generation) for c in containers})
    try:
        return _ready(session.servers.ask(question, session.go_on), [c.alias for c in containers], generation)
    except ModelRejected as error:
        return rejected(error)


def verify(session: ReadOnlySession, action: plan.Verify) -> CheckReport:
    """Run the checks of one generation: ready and smoke always, the others where they are declared.

    Malformed files or answers of the model are a failed check. Raises `Temporary` for trouble that is not the
    candidate's; then there is no verdict, and a later pass asks again.
    """
    try:
        report = _verify(session, action)
    except ModelRejected as error:
        report = CheckReport([rejected(error)])
    report.checks = [msgspec.structs.replace(check, reason=clean_line(check.reason)) for check in report.checks]
    return report


def _verify(session: ReadOnlySession, action: plan.Verify) -> CheckReport:
    generation, spec = action.generation, action.checks
    replicas = session.containers(action.deployment)
    candidates = [c for c in replicas if c.generation == generation.fingerprint]
    if action.review:
        candidates = [c for c in candidates if c.state == "running"]
    incumbent = action.attempt.incumbent
    incumbents = [c for c in replicas if incumbent and c.generation == incumbent.fingerprint and c.state == "running"]
    compared = incumbent if action.compare else None
    files = files_of(session, generation)
    holdout = _load_holdout(session, action, files, compared)
    targets = {c.alias: (c, generation) for c in candidates}
    if holdout.bodies and compared and incumbents:
        targets[incumbents[0].alias] = (incumbents[0], compared)
    question = Question(generation, targets, example=files.example if files else None, bodies=holdout.bodies)
    results = session.servers.ask(question, _go_on(session, action))
    names = [c.alias for c in candidates]
    ready = _ready(results, names, generation)
    if ready.result != "pass":
        return CheckReport([ready], session.logs(candidates, LOG_TAIL))
    first = results[names[0]]
    checks = [ready]
    if generation.answers:
        checks.append(judge_smoke(first))
    other = results.get(incumbents[0].alias) if incumbents else None
    if spec.holdout:
        checks += _judge_holdout(action, holdout, first, other, compared)
    held_out = advisory.HeldOutAnswers(len(holdout.rows.labels), first, other) if holdout.bodies and other else None
    checks += _own_checks(session, action, candidates[0])
    live = candidates if action.review else incumbents
    if spec.drift:
        checks.append(advisory.drift(session, spec.drift, generation, live))
    if spec.agreement and incumbent and incumbents:
        pair = (candidates[0], generation), (incumbents[0], incumbent)
        checks.append(advisory.agreement(session, spec.agreement, *pair, live, held_out))
    failed = any(check.result == "fail" and not check.advisory for check in checks)
    return CheckReport(checks, session.logs(candidates[:1], LOG_TAIL) if failed else "")


def _go_on(session: ReadOnlySession, action: plan.Verify) -> Callable[[], None]:
    """What ends the waiting: for a candidate also a newer commit; what serves is judged to the end."""
    return session.go_on if action.review else lambda: session.require_wanted(action.generation)


def _timely(action: plan.Verify) -> list[OwnCheck]:
    """The team's own checks that can say something about this generation now.

    Prometheus has no data on a candidate before it gets traffic. A rollback target has passed the other checks already.
    """
    if action.review:
        return list(action.checks.own)
    return [c for c in action.checks.own if action.compare and not isinstance(c, PrometheusCheck)]


def _own_checks(session: ReadOnlySession, action: plan.Verify, container: Container) -> list[CheckResult]:
    checks = _timely(action)
    if not checks:
        return []
    place = CheckPlace(
        endpoint=action.endpoint or session.servers.address(container, action.generation),
        container=None if action.endpoint else container,
        commit=action.commit or action.generation.commit,
    )
    return run_own_checks(session, checks, action.generation, place, _go_on(session, action))


def _ready(results: Mapping[str, TargetResult], names: Sequence[str], generation: Generation) -> CheckResult:
    """One result for all replicas: the first that is not ready decides."""
    targets = [results.get(name, TargetResult()) for name in names] or [TargetResult()]
    checks = [judge_ready(target, *_evidence(generation)) for target in targets]
    return next((check for check in checks if check.result != "pass"), checks[0])


def _evidence(generation: Generation) -> tuple[str, ...]:
    """What shows that a replica of the generation is ready and is what was declared, and what nothing shows."""
    if generation.pattern == "service":
        return ()
    if generation.version_path:
        return (f"{generation.version_path} names what was declared",)
    unproven = f"that it has loaded {generation.version} could not be proven: serve has no version_path"
    return f"{generation.health} answers 200", unproven if generation.pattern == "embed" else ""


def _load_holdout(
    session: ReadOnlySession, action: plan.Verify, files: ModelFiles | None, compared: Generation | None
) -> _Holdout:
    spec = action.checks.holdout
    if spec is None or action.holdout is None:
        return _Holdout()
    if files is None:
        return _Holdout(refused="serve has no `request:` that says how to ask the image")
    from gitops_ml.clients.rows.holdout import labelled, load_rows, requests  # pyarrow and numpy: for rows only

    for whose, model in (("candidate", action.generation), ("incumbent", compared)):
        if model and model.artifact and action.holdout in session.models.trained_on(model):
            return _Holdout(refused=f"{spec.data} is among what the {whose} was trained on, {model.version}")
    data = session.models.data(action.commit or action.generation.commit, spec.data, action.holdout)
    try:
        rows = load_rows(data, spec.data, spec.rows)
        return _Holdout(
            bodies=requests(rows, files.manifest),
            rows=labelled(rows, spec, files.manifest),
            manifest=files.manifest,
            incumbent=manifest_of(session, compared),
        )
    except InputError as error:
        return _Holdout(refused=first_line(error))


def _judge_holdout(
    action: plan.Verify,
    holdout: _Holdout,
    candidate: TargetResult,
    incumbent: TargetResult | None,
    compared: Generation | None,
) -> list[CheckResult]:
    from gitops_ml.core.verification.answers import ModelAnswers, NoAnswer  # numpy: for rows only
    from gitops_ml.core.verification.holdout import judge_holdout

    spec = action.checks.holdout
    if holdout.manifest is None or spec is None:
        return [CheckResult(name="holdout", result="inconclusive", reason=holdout.refused or "there are no rows")]
    theirs: Any = None
    if compared is not None and incumbent:
        theirs = answers_in(incumbent, holdout.incumbent)
    elif compared is not None and not action.review:
        theirs = NoAnswer("it does not run")
    return judge_holdout(
        spec,
        holdout.rows,
        ModelAnswers(holdout.manifest, answers_in(candidate, holdout.manifest)),
        ModelAnswers(holdout.incumbent or holdout.manifest, theirs) if theirs else None,
        alpha=action.alpha,
    )
