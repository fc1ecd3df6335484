"""The lock, without an engine: whose holder is taken for dead, and what becomes of an error inside the lock."""

from __future__ import annotations

import os

import msgspec
import pytest

from gitops_ml.clients.engine import lock
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.lock import Lock, this_process
from gitops_ml.errors import EngineUnavailable

HERE = this_process()
OTHER = msgspec.structs.replace(HERE, pid=HERE.pid + 1, started="4711")


def hide_processes(monkeypatch: pytest.MonkeyPatch, answer: Exception | None) -> None:
    """Hide all processes in /proc; `answer` is what a signal to one raises."""

    def kill(pid: int, signal: int) -> None:
        assert signal == 0
        if answer:
            raise answer

    monkeypatch.setattr(lock, "_started", lambda pid: "")
    monkeypatch.setattr(os, "kill", kill)


@pytest.mark.parametrize("answer", [None, PermissionError()])
def test_a_holder_that_is_hidden_from_us_lives(monkeypatch: pytest.MonkeyPatch, answer: Exception | None) -> None:
    hide_processes(monkeypatch, answer)
    assert not OTHER.dead(HERE)


def test_a_holder_that_no_signal_reaches_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_processes(monkeypatch, ProcessLookupError())
    assert OTHER.dead(HERE)


def test_a_holder_whose_number_another_process_has_by_now_is_dead() -> None:
    assert msgspec.structs.replace(HERE, started="1").dead(HERE)
    assert not HERE.dead(HERE)


class Unreachable(Engine):
    """An engine that is lost."""

    def __init__(self) -> None: ...

    def remove(self, container: str, *, force: bool = False, volumes: bool = True) -> None:
        raise EngineUnavailable("the engine does not answer")


def test_a_lock_that_cannot_be_released_replaces_no_error_inside_it(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyboardInterrupt), Lock(Unreachable(), "1" * 64, "shop.dev.lock", "token"):
        raise KeyboardInterrupt
    assert "the lock shop.dev.lock is not released yet" in caplog.text


def test_a_lock_that_cannot_be_released_lets_its_pass_end() -> None:
    with Lock(Unreachable(), "1" * 64, "shop.dev.lock", "token"):
        pass
