"""One pass: what a lost lock and a newer commit stop, and what they do not."""

from __future__ import annotations

import threading

import pytest

from gitops_ml.control.session import Artifacts, Session
from gitops_ml.control.view import Options
from gitops_ml.core.journal.entries import Withdrawn
from gitops_ml.errors import LockLost, Superseded
from tests.unit.builders import NAME, generation, wanted
from tests.unit.simulated_host import Host


class LostLock:
    """A lock that somebody has broken."""

    def check(self) -> None:
        raise LockLost("it went")


class UntouchedEngine:
    """An engine that is asked for nothing."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the engine is asked for {name}")


def session_without_lock() -> Session:
    view = Host().declaring(wanted("v1")).look(Options())
    artifacts = Artifacts(None, None)  # type: ignore[arg-type]
    return Session(UntouchedEngine(), LostLock(), view, artifacts, print, threading.Event())  # type: ignore[arg-type]


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
