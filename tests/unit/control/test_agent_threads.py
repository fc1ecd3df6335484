"""The agent's threads, and the thread that prints its lines."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from gitops_ml.cli.commands.agent import Printer
from gitops_ml.control.agent.threads import Threads


def test_jobs_in_threads_report_to_the_thread_that_waits() -> None:
    world, ended = Threads(), list[Future[int]]()
    world.start(lambda: 1, ended.append)
    world.start(lambda: 1 // 0, ended.append)
    while len(ended) < 2:
        world.wait(60)
    assert sorted(repr(future.exception()) for future in ended) == [
        "None",
        "ZeroDivisionError('integer division or modulo by zero')",
    ]


def test_a_thread_that_cannot_be_started_is_a_job_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    world, ended = Threads(), list[Future[int]]()
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    world.start(lambda: 1, ended.append)
    world.wait(60)
    assert isinstance(ended[0].exception(), RuntimeError)


def test_waking_ends_the_next_wait_at_once() -> None:
    world = Threads()
    world.wake()
    world.wait(3600)


def test_a_printer_that_cannot_print_stops_nobody() -> None:
    printed, reader = list[str](), threading.Event()

    def show(line: str) -> None:
        if line == "stuck":
            reader.wait()
        if line == "broken":
            raise BrokenPipeError
        printed.append(line)

    printer = Printer(show)
    for line in ("broken", "stuck", *(str(n) for n in range(20_000))):
        printer.say(line)
    printer.close(patience=0.0)
    reader.set()
    printer.close(patience=60.0)
    assert printed[:2] == ["stuck", "0"]
