"""An environment on an engine: what happens while its lock is held, and where the clone cannot be read."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitops_ml.cli.commands.deploy import visit
from gitops_ml.clients.engine.building.model_images import Builds
from gitops_ml.clients.files import recording
from gitops_ml.clients.files.recording import Recording
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment import target as target_module
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.environment.targets import side_by_side
from gitops_ml.control.environment.view import Options
from gitops_ml.control.reconciler import retry_while_locked
from gitops_ml.core.generation import Generation
from gitops_ml.errors import LockHeld
from tests.unit.builders import wanted
from tests.unit.simulated_host import Host


def no_clone(name: str = "dev") -> EnvironmentTarget:
    connection = cast(Connection, SimpleNamespace(to=lambda files: None))
    return EnvironmentTarget(cast(Repository, SimpleNamespace()), name, print, connection)


def test_who_waits_for_the_lock_begins_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    host, begun = Host(), list[Generation]()
    host.settle(wanted("v1"))
    view = host.declaring(wanted("v2")).look(Options())
    tries = iter(range(5))

    def acquire(*_: object) -> None:
        raise LockHeld("held by ada") if next(tries, None) is not None else InterruptedError

    monkeypatch.setattr(Builds, "begin", lambda self, generation: begun.append(generation))
    monkeypatch.setattr(target_module, "ensure_base", lambda *_: "")
    monkeypatch.setattr(target_module, "Lock", SimpleNamespace(acquire=acquire))
    target = no_clone()

    def take() -> None:
        with target.open(view, Options(), view.plan.actions):
            pass

    with pytest.raises(InterruptedError):
        retry_while_locked(target, take)
    assert begun == []


def test_a_declaration_that_cannot_be_read_for_any_reason_is_not_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.settle(wanted("v1"))
    environment = host.declaring(wanted("v1"))
    view = environment.look(Options())
    answers = []

    def record_verdicts(*_: object, same_generation: Any, **__: object) -> Recording:
        answers.append(same_generation(view.source.files, view.state.of(view.plan.statuses[0].name).last))
        return Recording(None, ())

    def fail(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(target_module, "generation_at", fail)
    monkeypatch.setattr(recording, "record_verdicts", record_verdicts)
    no_clone().record_verdicts(view, view.state)
    assert answers == [False]


def test_an_unforeseen_error_in_one_environment_does_not_keep_others_from_their_turn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def name_of(target: EnvironmentTarget) -> str:
        if target.environment == "dev":
            raise KeyError("rows")
        return target.environment

    targets = [no_clone("dev"), no_clone("prod")]
    assert visit(targets, partial(side_by_side, work=name_of), named=True) == (["prod"], [1])
    assert "dev met an unforeseen error: KeyError: 'rows'" in capsys.readouterr().err
