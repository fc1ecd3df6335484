"""The probe: a short-lived container that asks model servers, from their own network, what they are and what they say.

It is started right after the candidate, so that its own start passes while the candidate's does. It ends early when a
watched container ends: a model that cannot be loaded is known at once, not when the time-out is over.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container_watch import Watched, results_of_ended
from gitops_ml.core.generation import ContainerSpec, owner_labels, scoped
from gitops_ml.core.verification.probe_result import Ended, ProbeResult
from gitops_ml.errors import EngineFailed

FOLDER = "/probe"
COMMAND = ("python", "-m", "gitops_ml.serving.probe")
_MEMORY = 1024**3
_PIDS = 64
_LOOK_EVERY = 0.25


def run_probe(
    engine: Engine,
    *,
    project: str,
    environment: str,
    image: str,
    network: str,
    job: Mapping[str, Any],
    requests: bytes | None,
    deadline: float,
    watch: Sequence[str] = (),
    go_on: Callable[[], None] = lambda: None,
) -> ProbeResult:
    """Run one probe and return what it found; nothing of it is left.

    Args:
        image: a runtime image, which holds `gitops_ml.serving.probe`.
        job: what is asked of whom; see docs/serving.md.
        requests: the file `/probe/requests.json`, when the job names it.
        deadline: the probe's whole time, in seconds; the job's own has to be shorter.
        watch: containers whose end makes waiting pointless.
        go_on: called again and again; what it raises ends the waiting.

    Raises `EngineFailed` when the probe itself does not work, which says nothing about a candidate.
    """
    started = time.monotonic()
    files = {"job.json": msgspec.json.encode(job)}
    if requests is not None:
        files["requests.json"] = requests
    watched = Watched(engine, watch)
    probe = engine.create(
        ContainerSpec(
            name=scoped(project, environment, "probe", secrets.token_hex(4)),
            image=image,
            labels=owner_labels(project, environment, "probe"),
            network=network,
            command=COMMAND,
            anonymous_volumes=(FOLDER,),
            memory=_MEMORY,
            pids=_PIDS,
            restart="no",
        )
    )
    try:
        engine.put(probe, FOLDER, files)
        engine.start(probe, "the probe")
        code: int | None = None
        ended: list[Ended] = []
        while code is None and not ended:
            go_on()
            code = engine.wait(probe, timeout=_LOOK_EVERY)
            if code is None:
                ended = watched.ended()
                _require_running(engine, probe, time.monotonic() - started, deadline)
        targets = _result(engine, probe, code) if code is not None else results_of_ended(engine, job["targets"], ended)
        return ProbeResult(targets=targets, ended=tuple(ended), seconds=round(time.monotonic() - started, 4))
    finally:
        engine.remove(probe, force=True)


def _require_running(engine: Engine, probe: str, passed: float, deadline: float) -> None:
    if passed > deadline + 10:
        raise EngineFailed(f"the probe did not end within {deadline:.0f} s", why=engine.logs(probe, 10).strip())
    if engine.state(probe) is None:
        raise EngineFailed("the probe was removed while it ran", fix="run it again")


def _result(engine: Engine, probe: str, code: int) -> dict[str, Any]:
    found = engine.get(probe, f"{FOLDER}/result.json").get("result.json")
    if code != 0 or found is None:
        raise EngineFailed(f"the probe failed with exit code {code}", why=engine.logs(probe, 10).strip())
    return dict(msgspec.json.decode(found)["targets"])
