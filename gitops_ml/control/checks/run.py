"""Running the checks of a generation: what is asked of it, of whom else, and the judgement of what came back.

It may be a candidate, whose probe starts while it starts, or what serves, judged again. A team's own checks come after
those that the probe answers, the ones that only advise last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitops_ml.artifacts.manifest import Manifest, parse_manifest
from gitops_ml.clients.own_checks import run_own_checks
from gitops_ml.control.checks import advisory
from gitops_ml.control.checks.ask import answers_in, ask, manifest_of
from gitops_ml.control.session import Session
from gitops_ml.core.declaration.checks import OwnCheck, PrometheusCheck
from gitops_ml.core.generation import MODEL_PATH, Generation, scoped
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.verification.own_checks import Subject
from gitops_ml.core.verification.verdict import CheckResult, judge_ready, judge_smoke
from gitops_ml.errors import InputError, ModelRejected

LOG_TAIL = 40


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


def readiness(session: Session, generation: Generation, containers: Sequence[Container]) -> CheckResult:
    """Whether all these replicas came up as what was declared, within the generation's start time-out."""
    result = ask(session, generation, {c.alias: (c, generation) for c in containers}, example=None, bodies=[])
    return _ready(result, [c.alias for c in containers])


def verify(session: Session, action: plan.Verify) -> CheckReport:
    """The checks of one generation: ready and smoke always, the others where they are declared.

    Raises `Temporary` for trouble that is not the candidate's; then there is no verdict, and a later pass asks again.
    """
    generation, spec = action.generation, action.checks
    everyone = session.containers(action.deployment)
    mine = [c for c in everyone if c.generation == generation.fingerprint]
    if action.review:
        mine = [c for c in mine if c.state == "running"]
    incumbent = action.attempt.incumbent
    standing = [c for c in everyone if incumbent and c.generation == incumbent.fingerprint and c.state == "running"]
    compared = incumbent if action.compare else None
    files = session.models.artifact(generation) if generation.pattern == "service" else {}
    holdout = _load_holdout(session, action, files, compared)
    targets = {c.alias: (c, generation) for c in mine}
    if holdout.bodies and compared and standing:
        targets[standing[0].alias] = (standing[0], compared)
    example = json.loads(files["example.json"]) if "example.json" in files else None
    go_on = _go_on(session, action)
    result = ask(session, generation, targets, example=example, bodies=holdout.bodies, go_on=go_on)
    names = [c.alias for c in mine]
    ready = _ready(result, names)
    if ready.result != "pass" or not names:
        return CheckReport([ready], _logs(session, mine))
    first = result["targets"][names[0]]
    checks = [ready]
    if generation.pattern == "service":
        checks.append(judge_smoke(first))
    if spec.holdout:
        other = result["targets"].get(standing[0].alias) if standing else None
        checks += _judge_holdout(action, holdout, first, other, compared)
    checks += _own_checks(session, action, _timely(action), mine[0])
    live = mine if action.review else standing
    if spec.drift:
        checks.append(advisory.drift(session, spec.drift, generation, live))
    if spec.agreement and incumbent and standing:
        checks.append(
            advisory.agreement(session, spec.agreement, (mine[0], generation), (standing[0], incumbent), live)
        )
    failed = any(check.result == "fail" and not check.advisory for check in checks)
    return CheckReport(checks, _logs(session, mine[:1]) if failed else "")


def _go_on(session: Session, action: plan.Verify) -> Callable[[], None]:
    """What ends the waiting: for a candidate also a newer commit; what serves is judged to the end."""
    return session.go_on if action.review else lambda: session.wanted(action.deployment)


def _logs(session: Session, containers: Sequence[Container]) -> str:
    return "\n".join(session.engine.logs(c.id, tail=LOG_TAIL) for c in containers)


def _timely(action: plan.Verify) -> list[OwnCheck]:
    """A team's own checks that say something of this generation now.

    What a Prometheus knows of a candidate it knows once that has had users. And what was verified before and is gone
    back to has passed the others: they could only say again what the generation that failed has done.
    """
    if action.review:
        return list(action.checks.own)
    return [c for c in action.checks.own if action.compare and not isinstance(c, PrometheusCheck)]


def _own_checks(
    session: Session, action: plan.Verify, own: Sequence[OwnCheck], container: Container
) -> list[CheckResult]:
    if not own:
        return []
    generation = action.generation
    subject = Subject(
        environment=session.environment,
        deployment=action.deployment,
        version=generation.version,
        generation=generation.fingerprint,
        endpoint=action.endpoint or _address(session, container, generation),
    )
    return run_own_checks(own, subject, _go_on(session, action))


def _address(session: Session, container: Container, generation: Generation) -> str:
    """Where a container that has no users yet is reached on the engine's own host; empty where it is not."""
    found = session.engine.inspect_container(container.id)
    networks = found["NetworkSettings"]["Networks"] if found else {}
    address = networks.get(scoped(session.project, session.environment), {}).get("IPAddress", "")
    path = f"{MODEL_PATH}/{generation.deployment}" if generation.pattern == "service" else ""
    return f"http://{address}:{generation.port}{path}" if address else ""


def _ready(result: Mapping[str, Any], names: Sequence[str]) -> CheckResult:
    """One result for all replicas: the first that is not ready decides."""
    found = [judge_ready(result["targets"].get(name, {})) for name in names]
    return next((check for check in found if check.result != "pass"), found[0] if found else judge_ready({}))


def _load_holdout(
    session: Session, action: plan.Verify, files: Mapping[str, bytes], compared: Generation | None
) -> _Holdout:
    spec = action.checks.holdout
    if spec is None or action.holdout is None:
        return _Holdout()
    from gitops_ml.clients.artifacts.holdout import labelled, load_rows, requests

    for whose, model in (("candidate", action.generation), ("incumbent", compared)):
        if model and action.holdout in session.models.trained_on(model):
            return _Holdout(refused=f"{spec.data} is among what the {whose} was trained on, {model.version}")
    data = session.models.data(action.commit or action.generation.commit, spec.data, action.holdout)
    try:
        manifest = parse_manifest(files.get("manifest.json", b""))
        rows = load_rows(data, spec.data, spec.rows)
        return _Holdout(
            bodies=requests(rows, manifest),
            rows=labelled(rows, spec, manifest),
            manifest=manifest,
            incumbent=manifest_of(session, compared),
        )
    except (InputError, ModelRejected) as error:
        return _Holdout(refused=str(error).split("\n")[0])


def _judge_holdout(
    action: plan.Verify,
    holdout: _Holdout,
    candidate: Mapping[str, Any],
    incumbent: Mapping[str, Any] | None,
    generation: Generation | None,
) -> list[CheckResult]:
    from gitops_ml.core.verification.answers import ModelAnswers, NoAnswer
    from gitops_ml.core.verification.holdout import judge_holdout

    spec = action.checks.holdout
    if holdout.manifest is None or spec is None:
        return [CheckResult(name="holdout", result="inconclusive", reason=holdout.refused or "there are no rows")]
    theirs: Any = None
    if generation is not None and incumbent:
        theirs = answers_in(incumbent, holdout.incumbent)
    elif generation is not None and not action.review:
        theirs = NoAnswer("it does not run")
    return judge_holdout(
        spec,
        holdout.rows,
        ModelAnswers(holdout.manifest, answers_in(candidate, holdout.manifest)),
        ModelAnswers(holdout.incumbent or holdout.manifest, theirs) if theirs else None,
        alpha=action.alpha,
    )
