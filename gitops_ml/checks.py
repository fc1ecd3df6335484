"""Running the checks of a candidate: what is asked of it, of whom else, and the judgement of what came back.

All evidence comes from one probe, a short-lived container on the environment's network, so that it works against an
engine that is reachable only by its API. It starts while the candidate starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from gitops_ml.clients import images
from gitops_ml.clients.probe import run_probe
from gitops_ml.core import plan
from gitops_ml.core.desired import Holdout
from gitops_ml.core.generation import Generation, scoped
from gitops_ml.core.manifest import Manifest, parse_manifest
from gitops_ml.core.observed import Container
from gitops_ml.core.verdict import CheckResult, judge_ready, judge_smoke
from gitops_ml.errors import GitopsError, InputError
from gitops_ml.site import Site

LOG_TAIL = 40
HOLDOUT_SECONDS = 300.0
STARTING_SECONDS = 15.0


@dataclass
class Evidence:
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


def readiness(site: Site, generation: Generation, containers: Sequence[Container]) -> CheckResult:
    """Whether all these replicas came up as what was declared, within the generation's start time-out."""
    result = _probe(site, generation, {c.alias: (c, generation) for c in containers}, example=None, bodies=[])
    return _ready(result, [c.alias for c in containers])


def verify(site: Site, action: plan.Verify) -> Evidence:
    """The checks of one candidate: ready and smoke always, holdout where it is declared.

    Raises `Temporary` for trouble that is not the candidate's; then there is no verdict, and a later pass asks again.
    """
    generation = action.generation
    everyone = site.containers(action.deployment)
    candidates = [c for c in everyone if c.generation == generation.fingerprint]
    incumbent = action.attempt.incumbent
    standing = [c for c in everyone if incumbent and c.generation == incumbent.fingerprint and c.state == "running"]
    files = site.models.artifact(generation) if generation.pattern == "service" else {}
    holdout = _load_holdout(site, action, files)
    targets = {c.alias: (c, generation) for c in candidates}
    if holdout.bodies and incumbent and standing:
        targets[standing[0].alias] = (standing[0], incumbent)
    example = json.loads(files["example.json"]) if "example.json" in files else None
    result = _probe(site, generation, targets, example=example, bodies=holdout.bodies)
    names = [c.alias for c in candidates]
    ready = _ready(result, names)
    if ready.result != "pass" or not names:
        logs = "\n".join(site.engine.logs(c.id, tail=LOG_TAIL) for c in candidates)
        return Evidence([ready], logs)
    first = result["targets"][names[0]]
    checks = [ready]
    if generation.pattern == "service":
        checks.append(judge_smoke(first))
    if action.checks.holdout:
        other = result["targets"].get(standing[0].alias) if standing else None
        checks += _judge_holdout(action.checks.holdout, holdout, first, other, incumbent)
    failed = any(check.result == "fail" for check in checks)
    return Evidence(checks, site.engine.logs(candidates[0].id, tail=LOG_TAIL) if failed else "")


def _probe(
    site: Site,
    generation: Generation,
    targets: Mapping[str, tuple[Container, Generation]],
    *,
    example: dict[str, Any] | None,
    bodies: list[dict[str, Any]],
) -> dict[str, Any]:
    deadline = generation.start_timeout + (HOLDOUT_SECONDS if bodies else 0.0)
    job = {
        "deadline": deadline,
        "ready_deadline": generation.start_timeout,
        "interval": 0.02,
        "targets": [_target(name, container, of) for name, (container, of) in targets.items()],
        "example": example,
        "requests": "/probe/requests.json" if bodies else None,
    }
    site.check()
    found = run_probe(
        site.engine,
        project=site.project,
        environment=site.environment,
        image=images.probe_image(site.engine, site.base),
        network=scoped(site.project, site.environment),
        job=job,
        requests=msgspec.json.encode({"bodies": bodies}) if bodies else None,
        deadline=deadline + STARTING_SECONDS,
        watch=[container.id for container, of in targets.values() if of.fingerprint == generation.fingerprint],
    )
    return {"targets": found.targets}


def _target(name: str, container: Container, generation: Generation) -> dict[str, Any]:
    target: dict[str, Any] = {"name": name, "url": f"http://{container.alias}:{generation.port}"}
    if generation.pattern == "image":
        return target | {"health": generation.health}
    expect = {"version": generation.version, "digest": generation.digest}
    return target | {"model": generation.deployment, "expect": expect}


def _ready(result: Mapping[str, Any], names: Sequence[str]) -> CheckResult:
    """One result for all replicas: the first that is not ready decides."""
    found = [judge_ready(result["targets"].get(name, {})) for name in names]
    return next((check for check in found if check.result != "pass"), found[0] if found else judge_ready({}))


def _load_holdout(site: Site, action: plan.Verify, files: Mapping[str, bytes]) -> _Holdout:
    spec = action.checks.holdout
    if spec is None or action.holdout is None:
        return _Holdout()
    from gitops_ml.clients.holdout import labelled, load_rows, requests

    data = site.models.data(action.generation.commit, spec.data, action.holdout)
    try:
        manifest = parse_manifest(files.get("manifest.json", b""))
        rows = load_rows(data, spec.data, spec.rows)
        return _Holdout(
            bodies=requests(rows, manifest),
            rows=labelled(rows, spec, manifest),
            manifest=manifest,
            incumbent=_manifest_of(site, action.attempt.incumbent),
        )
    except InputError as error:
        return _Holdout(refused=str(error).split("\n")[0])


def _manifest_of(site: Site, generation: Generation | None) -> Manifest | None:
    if generation is None or generation.pattern != "service":
        return None
    try:
        return parse_manifest(site.models.artifact(generation)["manifest.json"])
    except (GitopsError, KeyError):
        return None


def _judge_holdout(
    spec: Holdout,
    holdout: _Holdout,
    candidate: Mapping[str, Any],
    incumbent: Mapping[str, Any] | None,
    generation: Generation | None,
) -> list[CheckResult]:
    from gitops_ml.core.answers import NoAnswer
    from gitops_ml.core.holdout import judge_holdout

    if holdout.manifest is None:
        return [CheckResult(name="holdout", result="inconclusive", reason=holdout.refused or "there are no rows")]
    theirs: Any = None
    if generation is not None:
        theirs = _answers(incumbent, holdout.incumbent) if incumbent else NoAnswer("it does not run")
    return judge_holdout(
        spec=spec,
        rows=holdout.rows,
        manifest=holdout.manifest,
        candidate=_answers(candidate, holdout.manifest),
        incumbent=theirs,
        incumbent_manifest=holdout.incumbent,
    )


def _answers(target: Mapping[str, Any], manifest: Manifest | None) -> Any:
    from gitops_ml.core.answers import NoAnswer, answers_of

    if manifest is None:
        return NoAnswer("its manifest cannot be read")
    if target.get("error"):
        return NoAnswer(str(target["error"]), refused=bool(target.get("refused")))
    try:
        return answers_of(target.get("outputs") or [], manifest)
    except InputError as error:
        return NoAnswer(str(error).split("\n")[0], refused=True)
