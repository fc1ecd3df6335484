"""`python -m gitops_ml.serving.probe`: asks model servers whether they are ready, and for predictions.

Runs in a short-lived container on the environment's network, so that checks work on a host that is reachable only by
its engine's API, and for images that hold no shell. Standard library only: it has to start at once. Reads
/probe/job.json, writes /probe/result.json, prints one line of JSON. docs/serving.md describes both files.

Whatever a server answers ends in that target's result, within bounds of bytes and time.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitops_ml.serving.probe_answers import NotYet, TargetError, require_values, short
from gitops_ml.serving.probe_target import GRACE_SECONDS, ProbeTarget

FOLDER = Path("/probe")
MAX_KEPT_BYTES = 64 << 20
"""Bytes of all answers that are kept of one application."""
MAX_VALUES = 5_000_000
"""Values that are kept of one target's outputs; each takes 32 bytes of memory."""


def encoded(body: dict[str, Any]) -> tuple[bytes, int]:
    """An inference request as it is sent, and its number of rows."""
    return json.dumps(body).encode(), int(body["inputs"][0]["shape"][0])


def probe_target(
    spec: dict[str, Any],
    example: tuple[bytes, int] | None,
    requests: Sequence[tuple[bytes, int]],
    deadline: float,
    interval: float,
    ready_deadline: float | None = None,
) -> dict[str, Any]:
    """Ask one target everything that the job asks; never raises, so that one target's trouble hides no other.

    Args:
        example: body and rows of the smoke request.
        requests: bodies and rows of the requests whose outputs are wanted.
        deadline: by time.monotonic(), for all of it.
        interval: seconds between two readiness requests.
        ready_deadline: by time.monotonic(), for becoming ready; `deadline` if None.
    """
    result = _unanswered(None)
    target: ProbeTarget | None = None
    try:
        target = ProbeTarget(spec, deadline)
        started = time.monotonic()
        result["metadata"] = _await_ready(target, ready_deadline or deadline, interval)
        result |= {"ready": True, "ready_seconds": round(time.monotonic() - started, 4)}
        if spec.get("exchange"):
            _exchange(target, spec["exchange"], result)
            return result
        if example is not None:
            result["smoke"] = _smoke(target, *example)
            if not result["smoke"]["ok"]:
                raise TargetError(f"smoke: {result['smoke']['error']}")
        started = time.monotonic()
        kept = 0
        for number, (body, rows) in enumerate(requests, 1):
            try:
                outputs = target.infer(body, rows)
                kept += sum(map(len, outputs.values()))
                if kept > MAX_VALUES:
                    raise TargetError(f"the answers hold more than {MAX_VALUES:,} values")
            except TargetError as error:
                raise TargetError(f"request {number} of {len(requests)}: {error}") from error
            result["outputs"].append(outputs)
            result["rows"] += rows
            result["seconds"] = round(time.monotonic() - started, 4)
    except TargetError as error:
        result["error"] = str(error)
    except Exception as error:
        result["error"] = f"the probe failed: {type(error).__name__}: {short(error)}"
    finally:
        if target is not None:
            target.close()
    return result


def run(job: dict[str, Any], bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Probe all targets of `job` side by side; the result as it is written to result.json.

    Args:
        job: `deadline`, `ready_deadline` and `interval` in seconds, `targets`, `example`; see docs/serving.md.
        bodies: inference requests whose outputs are wanted from each target.

    Raises LookupError, TypeError and ValueError for a broken job.
    """
    now = time.monotonic()
    deadline = now + float(job["deadline"])
    ready = now + float(job.get("ready_deadline") or job["deadline"])
    example = encoded(job["example"]) if job.get("example") else None
    requests = [encoded(body) for body in bodies]
    results = {spec["name"]: _unanswered("the probe did not end within the deadline") for spec in job["targets"]}
    for spec in job["targets"]:
        ProbeTarget(spec, deadline).close()  # a target that is not described whole is a broken job, not a bad model

    def probe(spec: dict[str, Any]) -> None:
        results[spec["name"]] = probe_target(spec, example, requests, deadline, job.get("interval", 0.02), ready)

    threads = [threading.Thread(target=probe, args=(spec,), daemon=True) for spec in job["targets"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()) + GRACE_SECONDS)
    return {"targets": dict(results)}


def main(folder: Path = FOLDER) -> int:
    """Do the job in `folder`; 0 when its result is written, whatever it says, and 2 for a broken job."""
    try:
        job = json.loads((folder / "job.json").read_bytes())
        path = job.get("requests")
        bodies = json.loads(Path(path).read_bytes())["bodies"] if path else []
        result = run(job, bodies)
    except (OSError, ValueError, LookupError, TypeError) as error:
        print(f"the probe's job cannot be done: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    staged = folder / "result.json.part"
    staged.write_text(json.dumps(result))
    staged.replace(folder / "result.json")  # whoever reads the file meanwhile sees it whole or not at all
    print(json.dumps({"targets": {name: _summary(target) for name, target in result["targets"].items()}}))
    return 0


def _await_ready(target: ProbeTarget, deadline: float, interval: float) -> dict[str, Any]:
    reason: NotYet | None = None
    while True:
        try:
            return target.metadata(deadline)
        except NotYet as error:
            late = time.monotonic() + interval >= deadline
            if reason is None or not late:  # the deadline itself cuts the last request off, and that explains nothing
                reason = error
            if late:
                raise TargetError(f"not ready within the deadline: {reason}") from error
            time.sleep(interval)


def _smoke(target: ProbeTarget, body: bytes, rows: int) -> dict[str, Any]:
    started = time.monotonic()
    result: dict[str, Any] = {"ok": False, "seconds": 0.0, "error": None, "outputs": {}}
    try:
        result["outputs"] = target.infer(body, rows)
        require_values(result["outputs"])
        result["ok"] = True
    except TargetError as error:
        result["error"] = str(error)
    result["seconds"] = round(time.monotonic() - started, 4)
    return result


def _exchange(target: ProbeTarget, exchange: Mapping[str, Any], result: dict[str, Any]) -> None:
    """Ask an application in its own form: first its example, then the rest. The answers are kept as they came.

    Raises `TargetError` for the first request without an answer.
    """
    started = time.monotonic()
    if exchange["example"]:
        error = _ask_all(target, exchange, exchange["example"], result["example_answers"], "")
        seconds = round(time.monotonic() - started, 4)
        result["smoke"] = {"ok": error is None, "seconds": seconds, "error": error, "outputs": {}}
        if error is not None:
            raise TargetError(f"smoke: {error}")
    started = time.monotonic()
    error = _ask_all(target, exchange, exchange["bodies"], result["answers"], "request {} of {}: ")
    result["seconds"] = round(time.monotonic() - started, 4)
    if error is not None:
        raise TargetError(error)


def _ask_all(
    target: ProbeTarget, exchange: Mapping[str, Any], bodies: Sequence[str], answers: list[str], which: str
) -> str | None:
    """Append the answers to all bodies; why the first of them that has none has none."""
    kept = 0
    for number, body in enumerate(bodies, 1):
        try:
            answer = target.exchange(exchange["method"], exchange["path"], body.encode())
            kept += len(answer)
            if kept > MAX_KEPT_BYTES:
                raise TargetError(f"the answers have more than {MAX_KEPT_BYTES:,} bytes")
        except TargetError as error:
            return f"{which.format(number, len(bodies))}{error}"
        answers.append(answer.decode())
    return None


def _unanswered(error: str | None) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "ready_seconds": None,
        "metadata": None,
        "smoke": None,
        "outputs": [],
        "example_answers": [],
        "answers": [],
        "seconds": 0.0,
        "rows": 0,
    }
    return {"ready": False, "error": error, **nothing}


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    smoke = result["smoke"]
    kept = {key: result[key] for key in ("ready", "ready_seconds", "error", "rows", "seconds")}
    return {**kept, "smoke": smoke and smoke["ok"]}


if __name__ == "__main__":
    sys.exit(main())
