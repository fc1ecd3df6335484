"""`python -m gitops_ml.serving.probe`: asks model servers whether they are ready, and for predictions.

Runs in a short-lived container on the environment's network, so that checks work against a host that is
reachable only by its engine's API, and with images that hold no shell. Standard library only: it has to start
at once. Reads /probe/job.json, writes /probe/result.json, prints one line of JSON.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

FOLDER = Path("/probe")
CONNECT_SECONDS = 1.0


class TargetError(Exception):
    """The target did not do what was asked of it; the message is for the record."""


class NotYet(Exception):
    """The target is not ready, and may still become so."""


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

    def metadata(self) -> dict[str, Any]:
        """The model's metadata, once it names what is expected.

        Of an image that is not ours nothing is known but the path that answers 200 when it is ready; it has none.

        Raises:
            NotYet: no answer, or not 200.
            TargetError: it answers for another version or digest than the one expected; waiting fixes
            nothing.
        """
        try:
            status, body = self._ask("GET", self._health or self._path)
        except (OSError, http.client.HTTPException) as error:
            raise NotYet(_said(error)) from error
        if status != 200:
            raise NotYet(f"{self._health or 'metadata'}: HTTP {status}: {_error_of(body)}")
        return {} if self._health else metadata_of(body, self._expect)

    def infer(self, body: bytes, rows: int) -> dict[str, list[Any]]:
        """Outputs by name, row-major, for one inference request of `rows` rows.

        Raises:
            TargetError: no answer in time, not 200, or not that many rows.
        """
        try:
            status, answer = self._ask("POST", f"{self._path}/infer", body)
        except (OSError, http.client.HTTPException) as error:
            raise TargetError(_said(error)) from error
        if status != 200:
            raise TargetError(f"HTTP {status}: {_error_of(answer)}")
        return outputs_of(answer, rows)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._host, self._port, timeout=min(left, CONNECT_SECONDS)
                )
                self._connection.connect()
            self._connection.sock.settimeout(left)
            headers = {"Content-Type": "application/json"} if body is not None else {}
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            answer = response.status, response.read()
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return answer


def model_path(spec: Mapping[str, Any]) -> str:
    """The path under which a target of a job answers for its model."""
    return f"/v2/models/{quote(spec.get('model', ''), safe='')}"


def metadata_of(body: bytes, expect: Mapping[str, str]) -> dict[str, Any]:
    """A server's answer about its model, when its version and digest are those of `expect`. Raises as
    `ProbeTarget.metadata`."""
    try:
        found = json.loads(body)
        parameters = found.get("parameters", {})
        names = {**parameters, "version": parameters.get("version", (found.get("versions") or [None])[0])}
    except (ValueError, AttributeError, TypeError) as error:
        raise NotYet(f"metadata is no JSON of the protocol: {error}") from error
    for key, wanted in expect.items():
        if names.get(key) != wanted:
            raise TargetError(f"answers with {key} {names.get(key)}, not {wanted}")
    return dict(found)


def outputs_of(answer: bytes, rows: int) -> dict[str, list[Any]]:
    """Outputs by name, row-major, of an answer to `rows` rows. Raises `TargetError` where it is none."""
    try:
        outputs = json.loads(answer)["outputs"]
        short = [output["name"] for output in outputs if output["shape"][0] != rows]
        values = {output["name"]: list(output["data"]) for output in outputs}
    except (ValueError, LookupError, TypeError) as error:
        raise TargetError(f"the answer is none of the protocol: {type(error).__name__}: {error}") from error
    if short or not values:
        raise TargetError(f"the answer has no {rows} rows in {short or 'any output'}")
    return values


def require_values(outputs: Mapping[str, list[Any]]) -> None:
    """Raises `TargetError` when some row of an output has no value."""
    empty = [name for name, values in outputs.items() if not values or None in values]
    if empty:
        raise TargetError(f"output {', '.join(empty)} holds no value for some row")


def encoded(body: dict[str, Any]) -> tuple[bytes, int]:
    """An inference request as it is sent, and how many rows are in it."""
    return json.dumps(body).encode(), int(body["inputs"][0]["shape"][0])


def probe_target(
    spec: dict[str, Any],
    example: tuple[bytes, int] | None,
    requests: Sequence[tuple[bytes, int]],
    deadline: float,
    interval: float,
    ready_deadline: float | None = None,
) -> dict[str, Any]:
    """Everything the job asks of one target; never raises, since one target's trouble must not hide
    another's.

    Args:
        example: body and rows of the smoke request.
        requests: bodies and rows of the requests whose outputs are wanted.
        deadline: by time.monotonic(), for all of it.
        interval: seconds between two readiness requests.
        ready_deadline: by time.monotonic(), for becoming ready; `deadline` if None.
    """
    result: dict[str, Any] = {"ready": False, "ready_seconds": None, "error": None, "metadata": None}
    result |= {"smoke": None, "outputs": [], "seconds": 0.0, "rows": 0}
    target = ProbeTarget(spec, deadline)
    try:
        started = time.monotonic()
        result["metadata"] = _await_ready(target, ready_deadline or deadline, interval)
        result |= {"ready": True, "ready_seconds": round(time.monotonic() - started, 4)}
        if example is not None:
            result["smoke"] = _smoke(target, *example)
            if not result["smoke"]["ok"]:
                raise TargetError(f"smoke: {result['smoke']['error']}")
        started = time.monotonic()
        for number, (body, rows) in enumerate(requests, 1):
            try:
                result["outputs"].append(target.infer(body, rows))
            except TargetError as error:
                raise TargetError(f"request {number} of {len(requests)}: {error}") from error
            result["rows"] += rows
            result["seconds"] = round(time.monotonic() - started, 4)
    except TargetError as error:
        result["error"] = str(error)
    except Exception as error:
        result["error"] = f"the probe failed: {type(error).__name__}: {error}"
    finally:
        target.close()
    return result


def run(job: dict[str, Any], bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Probe all targets of `job` side by side; the result as it is written to result.json.

    Args:
        job: `deadline`, `ready_deadline` and `interval` in seconds, `targets`, `example`; see docs/serving.md.
        bodies: inference requests whose outputs are wanted from each target.
    """
    now = time.monotonic()
    deadline = now + float(job["deadline"])
    ready = now + float(job.get("ready_deadline") or job["deadline"])
    example = encoded(job["example"]) if job.get("example") else None
    requests = [encoded(body) for body in bodies]
    results: dict[str, dict[str, Any]] = {}

    def task(spec: dict[str, Any]) -> Callable[[], None]:
        def probe() -> None:
            results[spec["name"]] = probe_target(spec, example, requests, deadline, job.get("interval", 0.02), ready)

        return probe

    threads = [threading.Thread(target=task(spec), daemon=True) for spec in job["targets"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"targets": {spec["name"]: results[spec["name"]] for spec in job["targets"]}}


def main(folder: Path = FOLDER) -> int:
    """Do the job in `folder`; 0 when its result is written, whatever it says, and 2 for a job that is
    broken."""
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
    staged.replace(folder / "result.json")  # whole or absent, for whoever reads it while we run
    print(json.dumps({"targets": {name: _summary(one) for name, one in result["targets"].items()}}))
    return 0


def _await_ready(target: ProbeTarget, deadline: float, interval: float) -> dict[str, Any]:
    while True:
        try:
            return target.metadata()
        except NotYet as error:
            if time.monotonic() + interval >= deadline:
                raise TargetError(f"not ready within the deadline: {error}") from error
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


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    smoke = result["smoke"]
    kept = {key: result[key] for key in ("ready", "ready_seconds", "error", "rows", "seconds")}
    return {**kept, "smoke": smoke and smoke["ok"]}


def _said(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}"


def _error_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body[:200].decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())
