"""A team's own checks: ask a Prometheus, get a page, run a command, each within its own deadline.

They run on the machine that gitops-ml runs on. A check is given up when its time is over, whatever it waits for. A
command is then killed together with all that it has started.
"""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from typing import IO, Any
from urllib.parse import urlencode

import msgspec

from gitops_ml.clients import background
from gitops_ml.clients.process_group import kill_group
from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, OwnCheck, PrometheusCheck
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.text import clean
from gitops_ml.core.verification.own_checks import Subject, judge_command, judge_http, judge_prometheus, unanswered
from gitops_ml.core.verification.verdict import CheckResult

MOST_BYTES = 4 << 20
"""Bytes that are read of an answer; more is cut off."""
_PIECE, _PIECES_KEPT = 4096, 64
"""Of a command's output, the newest pieces are kept; the size of a piece is in bytes."""


class _NoAnswer(Exception):
    """The other side gave no answer; the message says why."""


def run_own_checks(
    checks: Sequence[OwnCheck], subject: Subject, go_on: Callable[[], None] = lambda: None
) -> list[CheckResult]:
    """Run these checks one after the other. A check that meets trouble is inconclusive, and never raises.

    Args:
        go_on: called again and again; an exception of it ends the waiting.
    """
    return [_run(check, subject, go_on) for check in checks]


def _run(check: OwnCheck, subject: Subject, go_on: Callable[[], None]) -> CheckResult:
    try:
        match check:
            case PrometheusCheck():
                return _ask_prometheus(check, subject, go_on)
            case HttpCheck():
                status, body = _get(subject.filled_in(check.url), seconds(check.timeout), go_on)
                return judge_http(check, status, body.decode(errors="replace"), subject)
            case CommandCheck():
                code, output = _run_command(check, subject, go_on)
                return judge_command(check, code, output)
    except _NoAnswer as error:
        return unanswered(check, str(error))


def _ask_prometheus(check: PrometheusCheck, subject: Subject, go_on: Callable[[], None]) -> CheckResult:
    query = urlencode({"query": subject.filled_in(check.query), "timeout": check.timeout})
    url = f"{subject.filled_in(check.url).rstrip('/')}/api/v1/query?{query}"
    status, body = _get(url, seconds(check.timeout), go_on)
    try:
        return judge_prometheus(check, msgspec.json.decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _NoAnswer(f"it answered {status}, and no JSON") from error


def _get(url: str, patience: float, go_on: Callable[[], None]) -> tuple[int, bytes]:
    """Status and body of a page. Raises `_NoAnswer`, also after `patience` seconds.

    A socket's time-out does not bound a slowly trickling answer, so the answer is read in the background.
    """
    try:
        return background.result_within(background.begin(lambda: _read_page(url, patience)), patience, go_on)
    except TimeoutError as error:
        raise _NoAnswer(f"no answer within {patience:g} s") from error


def _read_page(url: str, patience: float) -> tuple[int, bytes]:
    try:
        return _open(url, patience)
    except Exception as error:  # of the network, of HTTP, or of a URL that is none
        raise _NoAnswer(_reason(error)) from error


def _open(url: str, patience: float) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"User-Agent": "gitops-ml", "Accept": "*/*"})
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return int(answer.status), bytes(answer.read(MOST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MOST_BYTES)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return "no answer in time" if isinstance(reason, TimeoutError) else f"no answer: {reason}"


def _run_command(check: CommandCheck, subject: Subject, go_on: Callable[[], None]) -> tuple[int, str]:
    """Exit code and last output of a command. Raises `_NoAnswer` where it cannot be run or takes too long."""
    about = {f"GITOPS_ML_{name.upper()}": str(value) for name, value in msgspec.structs.asdict(subject).items()}
    try:
        process = subprocess.Popen(
            check.run,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | about,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _NoAnswer(f"it cannot be run: {error}") from error
    assert process.stdout is not None
    pieces: deque[bytes] = deque(maxlen=_PIECES_KEPT)
    stdout = process.stdout
    reading = background.begin(lambda: _read(stdout, pieces))
    ending = background.begin(process.wait)
    try:
        code = background.result_within(ending, seconds(check.timeout), go_on)
    except TimeoutError as error:
        raise _NoAnswer(f"it was killed after {check.timeout}") from error
    finally:
        kill_group(process)
        process.wait()
        wait((reading,), timeout=1.0)
    return code, clean(b"".join(pieces).decode(errors="replace"))


def _read(stream: IO[Any], pieces: deque[bytes]) -> None:
    with stream:
        while piece := os.read(stream.fileno(), _PIECE):
            pieces.append(piece)
