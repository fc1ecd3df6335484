"""One pass: what a lost lock and a newer commit stop, and what they do not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gitops_ml.clients import background
from gitops_ml.control.environment.engine_session import Artifacts, EngineSession
from gitops_ml.control.environment.view import Options
from gitops_ml.core.journal.entries import Withdrawn
from gitops_ml.errors import LockLost, Superseded
from tests.unit.builders import NAME, generation, replica, wanted
from tests.unit.simulated_host import Host


class LostLock:
    """A lock that somebody has broken."""

    def check(self) -> None:
        raise LockLost("it went")


class UntouchedEngine:
    """An engine that is asked for nothing."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the engine is asked for {name}")


class HeldLock:
    """A lock that stays."""

    def check(self) -> None:
        pass


class SlowEngine:
    """An engine whose long calls never return. `asked` is set once one of them is made."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def image_id(self, reference: str) -> None:
        """The engine has no image."""

    def _wait_for_ever(self, *_: object, **__: object) -> None:
        self.asked.set()
        threading.Event().wait()

    pull = stop = exec_script = _wait_for_ever


def session_on(engine: object, lock: object, stopping: threading.Event | None = None) -> EngineSession:
    view = Host().declaring(wanted("v1")).look(Options())
    artifacts = Artifacts(None, None)  # type: ignore[arg-type]
    return EngineSession(engine, lock, view, artifacts, print, stopping or threading.Event())  # type: ignore[arg-type]


def session_without_lock() -> EngineSession:
    return session_on(UntouchedEngine(), LostLock())


FOREIGN = generation("v1", pattern="image", image="registry.example/shop@sha256:" + "0" * 64)


@pytest.mark.parametrize(
    "long_call",
    [
        lambda session: session.image(FOREIGN),
        lambda session: session.drain([replica(generation("v1"))]),
        lambda session: session.remove("id", grace=30),
    ],
    ids=["pull", "drain", "remove"],
)
def test_a_pass_that_is_stopped_waits_for_no_long_call_of_the_engine(
    long_call: Callable[[EngineSession], None],
) -> None:
    engine, stopping = SlowEngine(), threading.Event()
    session = session_on(engine, HeldLock(), stopping)
    outcome = background.begin(lambda: long_call(session))
    assert engine.asked.wait(10)
    stopping.set()
    assert isinstance(outcome.exception(timeout=2), KeyboardInterrupt)


def test_nothing_is_written_into_the_journal_once_the_lock_is_lost() -> None:
    session = session_without_lock()
    before = session.state
    with pytest.raises(LockLost):
        session.write(Withdrawn(at="x", deployment=NAME))
    session.note(Withdrawn(at="x", deployment=NAME))
    with pytest.raises(LockLost):
        session.flush()
    assert session.state.of(NAME) == before.of(NAME)


def test_a_superseded_candidate_is_stopped_and_its_successor_is_not() -> None:
    session = session_without_lock()
    session.supersede(NAME, generation("v2").fingerprint)
    session.require_wanted(generation("v4"))
    with pytest.raises(Superseded):
        session.require_wanted(generation("v2"))
