"""The probe: a short-lived container that asks model servers, from their own network, what they are and what they say.

The probe starts right after the candidate, so that both start at the same time. It ends early when a watched container
ends: a model that cannot be loaded is known at once, not when the time-out is over.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gitops_ml.artifacts.decoding import convert
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.types import TooMuchOutput
from gitops_ml.clients.gateway.probing.container_watch import ContainerWatch, results_of_ended
from gitops_ml.core.generation import ContainerSpec, probe_labels, scoped
from gitops_ml.core.text import clean_line
from gitops_ml.core.verification.probe_result import Ended, ProbeResult, unanswered
from gitops_ml.errors import EngineFailed

FOLDER = "/probe"
COMMAND = ("python", "-m", "gitops_ml.serving.probe")
STARTING_SECONDS = 15.0
"""What the probe's own container may take to start and to write its result, beside the job's time."""
_GRACE = 10.0
_MEMORY = 1024**3
_PIDS = 64
_LOOK_EVERY = 0.25
_LONGEST_RESULT = 256 << 20


class ProbePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a probe runs. `image` is a runtime image, which holds `gitops_ml.serving.probe`.

    `locked`: whether the environment's lock is held. If it is not, a label tells passes how long the probe may live.
    """

    project: str
    environment: str
    image: str
    locked: bool = True

    @property
    def network(self) -> str:
        return scoped(self.project, self.environment)


class ProbeJob(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe asks of whom; the file `job.json` of docs/serving.md.

    `example` is the inference request of the smoke check, `bodies` are the requests whose outputs are wanted. `seconds`
    bounds the whole job, `ready_seconds` the time to become ready; `interval` is between two readiness requests.
    """

    targets: Sequence[Mapping[str, Any]]
    seconds: float
    ready_seconds: float | None = None
    interval: float = 0.02
    example: Mapping[str, Any] | None = None
    bodies: Sequence[Mapping[str, Any]] = ()

    def files(self) -> dict[str, bytes]:
        """The files of the probe's folder."""
        job = {
            "deadline": self.seconds,
            "ready_deadline": self.ready_seconds,
            "interval": self.interval,
            "targets": self.targets,
            "example": self.example,
            "requests": f"{FOLDER}/requests.json" if self.bodies else None,
        }
        files = {"job.json": msgspec.json.encode(job)}
        if self.bodies:
            files["requests.json"] = msgspec.json.encode({"bodies": self.bodies})
        return files


class _Smoke(msgspec.Struct):
    ok: bool
    seconds: float
    error: str | None
    outputs: dict[str, list[Any]]


class _TargetResult(msgspec.Struct, omit_defaults=True):
    """What the probe writes of one target."""

    ready: bool
    ready_seconds: float | None
    error: str | None
    metadata: dict[str, Any] | None
    smoke: _Smoke | None
    outputs: list[dict[str, list[Any]]]
    seconds: float
    rows: int
    example_answers: list[str] = []
    answers: list[str] = []


def run_probe(
    engine: Engine,
    place: ProbePlace,
    job: ProbeJob,
    *,
    watch: Sequence[str] = (),
    go_on: Callable[[], None] = lambda: None,
) -> ProbeResult:
    """Run one probe, remove it, and return its result.

    Args:
        watch: containers whose end makes waiting pointless.
        go_on: called again and again; an exception of it ends the waiting.

    Raises `EngineFailed` when the probe itself does not work, which says nothing about a candidate.
    """
    started = time.monotonic()
    deadline = job.seconds + STARTING_SECONDS
    container_watch = ContainerWatch(engine, watch)
    probe = engine.create(
        ContainerSpec(
            name=scoped(place.project, place.environment, "probe", secrets.token_hex(4)),
            image=place.image,
            labels=probe_labels(place.project, place.environment, None if place.locked else deadline + _GRACE),
            network=place.network,
            command=COMMAND,
            anonymous_volumes=(FOLDER,),
            memory=_MEMORY,
            pids=_PIDS,
            restart="no",
        )
    )
    try:
        engine.put(probe, FOLDER, job.files())
        engine.start(probe, "the probe")
        code: int | None = None
        ended: list[Ended] = []
        while code is None and not ended:
            go_on()
            code = engine.wait(probe, timeout=_LOOK_EVERY)
            if code is None:
                ended = container_watch.ended()
                _require_running(engine, probe, time.monotonic() - started, deadline)
        if code is None:
            targets = results_of_ended(engine, job.targets, ended)
        else:
            targets = _read_results(engine, probe, code, [str(target["name"]) for target in job.targets])
        return ProbeResult(targets=targets, ended=tuple(ended), seconds=round(time.monotonic() - started, 4))
    finally:
        engine.remove(probe, force=True)


def _require_running(engine: Engine, probe: str, seconds: float, deadline: float) -> None:
    if seconds > deadline + _GRACE:
        raise EngineFailed(f"the probe did not end within {deadline:.0f} s", why=engine.logs(probe, 10).strip())
    if engine.state(probe) is None:
        raise EngineFailed("the probe was removed while it ran", fix="run it again")


def _read_results(engine: Engine, probe: str, code: int, names: Sequence[str]) -> dict[str, Any]:
    """The result of each target by name.

    The probe is our code, but it writes down what the models answered: a result that is too large or malformed is the
    model's fault, and becomes that target's error.
    """
    try:
        content = engine.get(probe, f"{FOLDER}/result.json", limit=_LONGEST_RESULT).get("result.json")
    except TooMuchOutput as error:
        return {name: unanswered(f"its answers are too large: {error.what}") for name in names}
    if code != 0 or content is None:
        raise EngineFailed(f"the probe failed with exit code {code}", why=engine.logs(probe, 10).strip())
    return parse_results(content, names)


def parse_results(content: bytes, names: Sequence[str]) -> dict[str, Any]:
    """The result of each of these targets in a probe's result.json; a malformed one as an `unanswered` target."""
    try:
        # Not msgspec: models may answer NaN, which the probe passes on, and which is no JSON.
        targets = json.loads(content)["targets"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        return {name: _malformed(error) for name in names}
    results = {}
    for name in names:
        try:
            # Through the type and back: who reads the result finds every field, and of the right kind.
            results[name] = msgspec.to_builtins(convert(targets[name], _TargetResult))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            results[name] = _malformed(error)
    return results


def _malformed(error: Exception) -> dict[str, Any]:
    return unanswered(f"its answers are malformed: {clean_line(str(error), 300) or type(error).__name__}")
