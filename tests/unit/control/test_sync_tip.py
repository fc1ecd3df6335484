"""`sync` while the tip or the engine cannot be reached: what serves is healed, and a canary is watched."""

from __future__ import annotations

import pytest

from gitops_ml.clients.git.fetch import FETCH_SECONDS
from gitops_ml.control.sync import WATCH_FETCH, sync
from gitops_ml.errors import (
    EngineUnavailable,
    GitopsError,
    InputError,
    SourceError,
    SourceUnavailable,
)
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import OTHER, TWO, bad_canary, serving_v1
from tests.unit.simulated_host import Host


def test_a_canary_is_watched_while_the_remote_is_gone_and_the_outage_is_said() -> None:
    host, environment = bad_canary()

    def lose_the_remote() -> None:
        state = host.state(OTHER).open
        if state and state.routed:
            environment.fetch_error = SourceUnavailable("the remote does not answer")

    environment.on_look = lose_the_remote
    result = host.sync(environment)
    assert host.serves(OTHER) == ["1" * 12]
    assert result.exit_code == 1 and isinstance(result.errors[""], SourceUnavailable)
    assert sum("the remote does not answer" in line for line in environment.reported) <= 4


def test_a_remote_that_hangs_does_not_leave_an_open_canary_unwatched() -> None:
    """Only passes that begin with users on the candidate give the remote little time."""
    host, environment = bad_canary()
    host.traffic[TWO] = "Verified"
    open_at_look: list[bool] = []

    def look() -> None:
        state = host.state(OTHER).open
        open_at_look.append(bool(state and state.routed))

    environment.on_look = look
    assert host.sync(environment).exit_code == 0
    assert any(open_at_look)
    assert environment.fetch_seconds[0] == FETCH_SECONDS
    assert environment.fetch_seconds.count(WATCH_FETCH) >= 2


@pytest.mark.parametrize("error", [EngineUnavailable("it restarts"), OSError("no route to host")])
def test_an_open_canary_is_not_left_alone_when_the_engine_is_gone_for_minutes(error: Exception) -> None:
    host, environment = bad_canary()
    gone_since: list[float] = []

    def lose_the_engine() -> None:
        state = host.state(OTHER).open
        if state and state.routed and not gone_since:
            gone_since.append(host.seconds)
        if gone_since and host.seconds < gone_since[0] + 120:
            raise error.with_traceback(None)

    environment.on_look = lose_the_engine
    result = host.sync(environment)
    assert host.serves(OTHER) == ["1" * 12] and host.state(OTHER).open is None
    assert result.settled[OTHER] == ["failed"] and result.exit_code == 3


@pytest.mark.parametrize("error", [InputError("an unknown key"), SourceError("the commit is not signed")])
def test_a_bad_canary_is_rolled_back_although_the_tip_cannot_be_followed_any_more(error: GitopsError) -> None:
    host, environment = bad_canary()

    def break_the_tip() -> None:
        state = host.state(OTHER).open
        if state and state.routed:
            environment.fetch_error = error

    environment.on_look = break_the_tip
    result = host.sync(environment)
    assert host.serves(OTHER) == ["1" * 12] and result.settled[OTHER] == ["failed"]
    assert result.exit_code == 1 and result.errors == {"": error}
    assert sum(error.what in line for line in environment.reported) == 1


def test_what_breaks_is_healed_and_no_rollout_begins_while_the_tip_cannot_be_followed() -> None:
    host = serving_v1(NAME, OTHER)
    environment = host.declaring(wanted("v2"))
    environment.fetch_error = InputError("an unknown key")
    host.kill(host.replicas(NAME)[0].id)
    result = host.sync(environment)
    assert host.serves(NAME) == ["1" * 12] and host.state(NAME).open is None
    assert host.serves(OTHER) == ["1" * 12], "nothing is removed"
    assert result.exit_code == 1 and result.errors == {"": environment.fetch_error}


def test_a_tip_that_cannot_be_followed_is_raised_where_nothing_was_applied() -> None:
    host = Host()
    environment = host.declaring(wanted("v1"))
    environment.fetch_error = InputError("an unknown key")
    with pytest.raises(InputError):
        sync(environment)
    assert not host.containers
