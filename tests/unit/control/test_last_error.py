"""The last error of a deployment: `status` tells it, the journal holds it once, and the next success clears it."""

from __future__ import annotations

import msgspec
import pytest

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Erred, Withdrawn
from gitops_ml.core.journal.fold import Entry, encode, fold, fold_entries
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.errors import EngineFailed, InputError
from tests.unit.builders import NAME, generation, wanted
from tests.unit.control.canaries import OTHER, TWO, serving_v1
from tests.unit.journals import intent, promoted
from tests.unit.simulated_host import Host, SimulatedEnvironment
from tests.unit.simulated_session import SimulatedSession

V1, V2 = generation("v1"), generation("v2")
FULL = Erred(at="2026-11-27T01:00:00", deployment=NAME, what="the disk is full", why="no space", fix="docker system df")
DOWN = Erred(at="2026-11-27T02:00:00", deployment=NAME, what="a replica does not start", healing=True)


# --- the journal


def kept(*entries: Entry) -> list[str]:
    return [error.what for error in fold_entries(entries).errors.get(NAME, ())]


def test_an_error_stays_until_its_own_kind_of_work_succeeds() -> None:
    assert kept(FULL, DOWN) == ["the disk is full", "a replica does not start"]
    assert kept(FULL, DOWN, msgspec.structs.replace(FULL, what="")) == ["a replica does not start"]
    assert kept(FULL, DOWN, msgspec.structs.replace(DOWN, what="")) == ["the disk is full"]


def test_a_new_rollout_begins_without_the_error_of_the_one_before() -> None:
    assert kept(FULL, DOWN, intent(V1)) == ["a replica does not start"]
    assert kept(intent(V1), FULL, *promoted(V1)[1:]) == []


def test_nothing_is_left_of_a_deployment_that_is_withdrawn() -> None:
    assert fold_entries([FULL, DOWN, Withdrawn(at="x", deployment=NAME)]) == EnvironmentState()


def test_an_error_alone_is_no_sign_that_the_deployment_was_ever_here() -> None:
    """On a blank host the last verified version of the record is started first."""
    assert fold_entries([FULL]).deployments == {}


def test_the_text_of_an_error_is_cleaned() -> None:
    loud = msgspec.structs.replace(FULL, why="no \x1b[2Jspace\nleft")
    error = fold({"1": encode(loud)}, "dev").error_of(NAME, healing=False)
    assert error is not None and error.why == "no space left"


# --- passes


def errors_in(host: Host) -> list[str]:
    return [entry.what for entry in host.entries if isinstance(entry, Erred)]


def status(environment: SimulatedEnvironment, name: str = NAME) -> DeploymentStatus:
    return next(s for s in environment._view().plan.statuses if s.name == name)


@pytest.mark.parametrize("error", [EngineFailed("the disk is full", why="no space"), InputError("the disk is full")])
def test_the_error_is_told_until_the_rollout_ends_well(error: EngineFailed | InputError) -> None:
    host = serving_v1(NAME, OTHER)
    environment = host.declaring(wanted("v2"), wanted("v1", OTHER))
    host.behaviour.trouble["image", NAME] = error
    assert host.sync(environment).errors == {NAME: error}
    assert host.sync(environment).errors == {NAME: error}
    told = status(environment).error
    assert told is not None and (told.what, told.why) == (error.what, error.why)
    assert status(environment, OTHER).error is None
    assert errors_in(host) == ["the disk is full"], "the same error is written once, in whichever pass"
    del host.behaviour.trouble["image", NAME]
    assert host.sync(environment).exit_code == 0
    assert host.serves(NAME) == [TWO] and status(environment).error is None
    written = len(host.entries)
    assert host.sync(environment).exit_code == 0
    assert len(host.entries) == written, "with nothing to do, nothing is written"


def test_an_error_whose_reason_changes_is_the_same() -> None:
    host = serving_v1(NAME)
    environment = host.declaring(wanted("v2"))
    for reason in ("container 4711 ended", "container 4712 ended"):
        host.behaviour.trouble["image", NAME] = EngineFailed("no image", why=reason)
        host.one_pass(environment)
    assert errors_in(host) == ["no image"]


class FullEngine(SimulatedSession):
    def create(self, generation: Generation, replica: int) -> str:
        raise EngineFailed("no room")


def test_the_error_of_healing_is_over_once_what_serves_is_whole() -> None:
    host = serving_v1(NAME)
    environment = host.declaring(wanted("v1"))
    environment.session_type = FullEngine
    host.containers.clear()
    host.sync(environment)
    told = status(environment).error
    assert told is not None and told.healing
    environment.session_type = SimulatedSession
    assert host.sync(environment).exit_code == 0
    assert status(environment).error is None and errors_in(host) == ["no room", ""]
