"""`python -m gitops_ml.serving.probe`: asks model servers whether they are ready, and for predictions.

Runs in a short-lived container on the environment's network, so that checks work on a host that is reachable only by
its engine's API, and for images that hold no shell. Standard library only: it has to start at once. Reads
/probe/job.json, writes /probe/result.json, prints one line of JSON. docs/serving.md describes both files.

Whatever a server answers ends in that target's result, within bounds of bytes and time.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from gitops_ml.serving.probe_answers import (
    MAX_ANSWER_BYTES,
    MAX_METADATA_BYTES,
    NotYet,
    TargetError,
    error_text,
    metadata_of,
    outputs_of,
    reason_of,
    require_values,
    short,
)

FOLDER = Path("/probe")
CHECK_HEADER = "X-Gitops-Ml-Check"
"""Tells our server that the request is no user's, so that its metrics leave it out."""
CONNECT_SECONDS = 1.0
GRACE_SECONDS = 5.0
"""How long after the deadline a target's thread may still run: a name may be resolving."""
MAX_VALUES = 5_000_000
"""Values that are kept of one target's outputs; each takes 32 bytes of memory."""


class ProbeTarget:
    """One model server, over one kept-alive connection."""

    def __init__(self, spec: dict[str, Any], deadline: float) -> None:
        url = urlsplit(spec["url"])
        self._host, self._port = url.hostname or "", url.port or 80
        self._path = url.path.rstrip("/") + model_path(spec)
        self._health: str | None = spec.get("health")
        self._expect: dict[str, str] = spec.get("expect") or {}
        self._deadline = deadline
        self._connection: http.client.HTTPConnection | None = None

    def metadata(self, deadline: float) -> dict[str, Any]:
        """Ask for the model's metadata, once.

        Of an image that is not ours, only the path is known that answers 200 when it is ready; the metadata is empty.

        Args:
            deadline: by time.monotonic(), for this answer.

        Raises:
            NotYet: no answer, or not 200.
            TargetError: it answers for another version or digest than expected; waiting fixes nothing.
        """
        try:
            status, body = self._ask("GET", self._health or self._path, MAX_METADATA_BYTES, deadline)
        except (OSError, http.client.HTTPException) as error:
            raise NotYet(reason_of(error)) from error
        if status != 200:
            raise NotYet(f"{self._health or 'metadata'}: HTTP {status}: {error_text(body)}")
        return {} if self._health else metadata_of(body, self._expect)

    def infer(self, body: bytes, rows: int) -> dict[str, list[Any]]:
        """Outputs by name, row-major, for one inference request of `rows` rows.

        Raises:
            TargetError: no answer in time, not 200, not of the protocol, or not that many rows.
        """
        try:
            status, answer = self._ask("POST", f"{self._path}/infer", MAX_ANSWER_BYTES, self._deadline, body)
        except (OSError, http.client.HTTPException) as error:
            raise TargetError(reason_of(error)) from error
        if status != 200:
            raise TargetError(f"HTTP {status}: {error_text(answer)}")
        return outputs_of(answer, rows)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, limit: int, deadline: float, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer; of a body longer than `limit` bytes, the first `limit` + 1."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._host, self._port, timeout=min(left, CONNECT_SECONDS)
                )
                self._connection.connect()
            with _cut_off(self._connection.sock, deadline):
                headers = {"Content-Type": "application/json"} if body is not None else {}
                self._connection.request(method, path, body, {**headers, CHECK_HEADER: "1"})
                response = self._connection.getresponse()
                answer = response.status, response.read(limit + 1)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | http.client.HTTPException) and time.monotonic() >= deadline:
                raise TimeoutError("the deadline has passed") from error
            raise
        if time.monotonic() >= deadline:
            self.close()  # what was read may be cut off
            raise TimeoutError("the deadline has passed")
        if response.will_close or not response.isclosed():
            self.close()
        return answer


@contextlib.contextmanager
def _cut_off(connection: socket.socket, deadline: float) -> Iterator[None]:
    """Shut the connection down at the deadline. A socket's own timeout does not bound an answer that trickles."""

    def shut_down() -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    left = max(0.0, deadline - time.monotonic())
    connection.settimeout(left + GRACE_SECONDS)
    timer = threading.Timer(left, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def model_path(spec: Mapping[str, Any]) -> str:
    """The path under which a target of a job answers for its model."""
    return f"/v2/models/{quote(spec.get('model', ''), safe='')}"


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


def _unanswered(error: str | None) -> dict[str, Any]:
    nothing: dict[str, Any] = {
        "ready_seconds": None,
        "metadata": None,
        "smoke": None,
        "outputs": [],
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
