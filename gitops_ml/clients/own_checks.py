"""A team's own checks: asking a Prometheus or a page, and running a command, each within its own deadline.

They run on the machine that gitops-ml runs on. Each is given up when its time is over, whatever it waits for; a command
is killed then with all that it has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Any, TypeVar
from urllib.parse import urlencode

import msgspec

from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, OwnCheck, PrometheusCheck
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.verification.own_checks import Subject, judge_command, judge_http, judge_prometheus, unanswered
from gitops_ml.core.verification.verdict import CheckResult

MOST_BYTES = 4 << 20
"""What is read of an answer; more is cut off."""
_LOOK_EVERY = 0.25
_KEPT = 64
"""Pieces of a command's output that are kept: the newest, of at most 4 KiB each."""

Answer = TypeVar("Answer")


class _NoAnswer(Exception):
    """The other side gave no answer; the message says why."""


def run_own_checks(
    checks: Sequence[OwnCheck], subject: Subject, go_on: Callable[[], None] = lambda: None
) -> list[CheckResult]:
    """Run these checks, one after the other. Never raises for what a check meets: then it is inconclusive.

    `go_on` is called again and again; what it raises ends the waiting.
    """
    return [_run(check, subject, go_on) for check in checks]


def _run(check: OwnCheck, subject: Subject, go_on: Callable[[], None]) -> CheckResult:
    try:
        match check:
            case PrometheusCheck():
                return _ask_prometheus(check, subject, go_on)
            case HttpCheck():
                url = subject.filled_in(check.url)
                status, body = _within(seconds(check.timeout), lambda: _get(url, seconds(check.timeout)), go_on)
                return judge_http(check, status, body.decode(errors="replace"), subject)
            case CommandCheck():
                code, output = _command(check, subject, go_on)
                return judge_command(check, code, output)
    except _NoAnswer as error:
        return unanswered(check, str(error))


def _ask_prometheus(check: PrometheusCheck, subject: Subject, go_on: Callable[[], None]) -> CheckResult:
    patience = seconds(check.timeout)
    asked = urlencode({"query": subject.filled_in(check.query), "timeout": check.timeout})
    url = f"{subject.filled_in(check.url).rstrip('/')}/api/v1/query?{asked}"
    status, body = _within(patience, lambda: _get(url, patience), go_on)
    try:
        return judge_prometheus(check, msgspec.json.decode(body))
    except msgspec.DecodeError as error:
        raise _NoAnswer(f"it answered {status}, and no JSON") from error


def _within(patience: float, call: Callable[[], Answer], go_on: Callable[[], None]) -> Answer:
    """The call's answer, or `_NoAnswer` after so many seconds: a socket's time-out ends no answer that trickles."""
    found: list[Answer] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    deadline = time.monotonic() + patience
    while worker.is_alive() and (left := deadline - time.monotonic()) > 0:
        worker.join(min(left, _LOOK_EVERY))
        go_on()
    if found:
        return found[0]
    if failed:
        raise _NoAnswer(_said(failed[0])) from failed[0]
    raise _NoAnswer(f"no answer within {patience:g} s")


def _get(url: str, patience: float) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"User-Agent": "gitops-ml", "Accept": "*/*"})
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return int(answer.status), bytes(answer.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MOST_BYTES)


def _said(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return f"no answer: {reason}"


def _command(check: CommandCheck, subject: Subject, go_on: Callable[[], None]) -> tuple[int, str]:
    """Exit code and last output of a command, in a process group of its own."""
    told = {f"GITOPS_ML_{name.upper()}": str(value) for name, value in msgspec.structs.asdict(subject).items()}
    try:
        process = subprocess.Popen(
            check.run,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | told,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _NoAnswer(f"it cannot be run: {error}") from error
    assert process.stdout is not None
    pieces: deque[bytes] = deque(maxlen=_KEPT)
    reader = threading.Thread(target=_read, args=(process.stdout, pieces), daemon=True)
    reader.start()
    try:
        code = _ended(process, seconds(check.timeout), go_on)
        if code is None:
            raise _NoAnswer(f"it was killed after {check.timeout}")
    finally:
        # Also after an orderly end: what the command has left running would outlive the check.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(1.0)
    return code, b"".join(pieces).decode(errors="replace")


def _ended(process: subprocess.Popen[bytes], patience: float, go_on: Callable[[], None]) -> int | None:
    """The exit code of a command; None when it runs on after `patience` seconds."""
    deadline = time.monotonic() + patience
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=min(left, _LOOK_EVERY))
        go_on()
    return process.poll()


def _read(stream: IO[Any], pieces: deque[bytes]) -> None:
    with stream:
        while piece := os.read(stream.fileno(), 4096):
            pieces.append(piece)
