"""The lock on a real engine: one holder, known by name; the lock is broken by its ID only."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from gitops_ml.clients.engine.lock import Lock, break_lock, this_process
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.errors import EngineUnavailable, LockHeld, LockLost
from tests.e2e.place import Place, place_fixture

place = place_fixture


def _acquire(place: Place, **options: object) -> Lock:
    return Lock.acquire(place.engine, place.project, "dev", GATEWAY_IMAGE, **options)  # type: ignore[arg-type]


def test_a_held_lock_names_its_holder_and_how_to_break_it(place: Place) -> None:
    with _acquire(place) as lock:
        lock.check()
        with pytest.raises(LockHeld) as caught:
            _acquire(place)
        assert this_process().who in caught.value.what
        assert f"--break-lock {lock.id[:12]}" in caught.value.fix
    _acquire(place).release()


def test_only_one_of_many_gets_the_lock(place: Place) -> None:
    def attempt(_: int) -> bool:
        try:
            _acquire(place)
        except LockHeld:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1


def test_a_broken_lock_is_noticed_by_its_holder(place: Place) -> None:
    lock = _acquire(place)
    assert not break_lock(place.engine, place.project, "dev", "0" * 12)
    lock.check()
    assert break_lock(place.engine, place.project, "dev", lock.id[:12])
    other = _acquire(place)
    with pytest.raises(LockLost):
        lock.check()
    lock.release()
    other.check()


def test_an_expired_lock_is_taken_over(place: Place) -> None:
    lock = _acquire(place, ttl=0.5)
    time.sleep(0.6)
    _acquire(place).check()
    with pytest.raises(LockLost):
        lock.check()


def test_a_lock_is_kept_for_as_long_as_its_holder_works(place: Place) -> None:
    """Each look at the lock is an attempt to take it."""
    with _acquire(place, ttl=3.0) as lock:
        until = time.monotonic() + 8
        while time.monotonic() < until:
            with pytest.raises(LockHeld):
                _acquire(place)
            lock.check()
            time.sleep(0.5)
    assert place.look().of_role("lock") == []


def test_the_lock_of_a_dead_process_is_taken_over(place: Place) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    holder = msgspec.structs.replace(this_process(), pid=process.pid, started=started)
    _acquire(place, holder=holder)
    with pytest.raises(LockHeld):
        _acquire(place)
    process.kill()
    process.wait()
    _acquire(place).check()


def test_a_lock_that_could_not_be_released_is_taken_over_by_its_process(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(_: str, **options: bool) -> None:
        raise EngineUnavailable("the engine does not answer")

    lock = _acquire(place)
    with monkeypatch.context() as patch, pytest.raises(EngineUnavailable):
        patch.setattr(place.engine, "remove", unreachable)
        lock.release()
    _acquire(place).check()
    with pytest.raises(LockLost):
        lock.check()


def test_a_holder_on_another_machine_is_never_taken_for_dead(place: Place) -> None:
    _acquire(place, holder=msgspec.structs.replace(this_process(), machine="elsewhere", pid=1, started="0"))
    with pytest.raises(LockHeld):
        _acquire(place)


def test_the_lock_is_released_on_interrupt(place: Place) -> None:
    with pytest.raises(KeyboardInterrupt), _acquire(place):
        raise KeyboardInterrupt
    _acquire(place).check()
