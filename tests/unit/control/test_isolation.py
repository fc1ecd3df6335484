"""Whatever fails in one deployment, the others end as if it were not there; and no interruption loses anything.

The real executor and the real sync loop work on a host in memory. Hypothesis chooses what fails, where and how.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import (
    EngineFailed,
    EngineUnavailable,
    GitopsError,
    InputError,
    LockLost,
    ModelRejected,
    ObjectMissing,
    PushRejected,
)
from tests.effort import examples
from tests.unit.builders import NAME, wanted
from tests.unit.simulated_engine import Killed
from tests.unit.simulated_host import Host, dies_at, never

OTHER, THIRD = "other", "third"
BUDGET = settings(max_examples=examples(40), deadline=None)
STRATEGIES = st.sampled_from(["blue-green", "recreate", "canary", "shadow"])
VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(["Verified", "Failed", "Inconclusive"])
ERRORS = st.sampled_from(
    [
        EngineFailed("no space left on device"),
        EngineUnavailable("it does not answer"),
        InputError("that cannot be"),
        ObjectMissing("the bytes are nowhere"),
        ModelRejected("its manifest is malformed"),
        PushRejected("not here"),
        ValueError("inhomogeneous shape"),
        KeyError("rows"),
        IndexError(),
        RecursionError("maximum recursion depth exceeded"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        MemoryError(),
        AssertionError("cannot be"),
        OSError(28, "No space left on device"),
    ]
)
PLACES = st.sampled_from(["image", "files", "ask", "count"])


@dataclass(frozen=True)
class Ending:
    """How a deployment ended, without what a clock says."""

    serving: str | None
    verdicts: tuple[tuple[str, str | None, str | None], ...]
    quarantine: int
    replicas: tuple[tuple[str, int, str], ...]
    serves: tuple[str, ...]
    open: bool


def ending(host: Host, name: str) -> Ending:
    state = host.state(name)
    return Ending(
        serving=state.serving.version if state.serving else None,
        verdicts=tuple((a.generation.version, a.verdict, a.outcome) for a in state.attempts),
        quarantine=len(state.quarantine),
        replicas=tuple(sorted((c.generation, c.replica, c.state) for c in host.replicas(name))),
        serves=tuple(host.serves(name)),
        open=state.open is not None,
    )


def fails_at(name: str, numbers: set[int], error: BaseException) -> Callable[[str], None]:
    """The n-th mutations of one deployment fail."""
    count = -1

    def step(deployment: str) -> None:
        nonlocal count
        if deployment == name:
            count += 1
            if count in numbers:
                raise error.with_traceback(None)

    return step


def others(strategy: str) -> list[PlannedDeployment]:
    return [wanted("v2", OTHER, replicas=2, strategy=strategy), wanted("v2", THIRD, strategy="canary")]


def serving_v1(*names: str) -> Host:
    host = Host()
    host.settle(*(wanted("v1", name, replicas=1) for name in names))
    return host


@cache
def alone(strategy: str, verdict: Verdict) -> dict[str, Ending]:
    """How the others end where there is nothing beside them."""
    host = serving_v1(OTHER, THIRD)
    host.traffic["2" * 12] = verdict
    host.sync(host.declaring(*others(strategy)))
    return {name: ending(host, name) for name in (OTHER, THIRD)}


@BUDGET
@given(error=ERRORS, place=PLACES, strategy=STRATEGIES, verdict=VERDICTS, first=st.booleans())
def test_whatever_is_raised_in_one_deployment_ends_that_deployment_alone(
    error: Exception, place: str, strategy: str, verdict: Verdict, first: bool
) -> None:
    host = serving_v1(OTHER, THIRD) if first else serving_v1(NAME, OTHER, THIRD)
    host.traffic["2" * 12] = verdict
    host.behaviour.trouble[place, NAME] = error
    result = host.sync(host.declaring(wanted("v3", strategy="canary"), *others(strategy)))
    assert {name: ending(host, name) for name in (OTHER, THIRD)} == alone(strategy, verdict)
    met = place != "count" or not first  # a first deployment has nothing to be compared with in a canary
    if isinstance(error, ModelRejected) and met:
        assert host.state(NAME).attempts[-1].verdict == "Failed" and NAME not in result.errors
    elif met:
        assert set(result.errors) == {NAME} and result.exit_code == 1
    if not first:
        assert host.serves(NAME).count("1" * 12) == 1, "what serves goes on serving"


@BUDGET
@given(
    error=ERRORS,
    mutations=st.sets(st.integers(0, 40), min_size=1, max_size=20),
    strategy=STRATEGIES,
    verdict=VERDICTS,
)
def test_a_deployment_whose_mutations_fail_is_no_matter_to_the_others(
    error: Exception, mutations: set[int], strategy: str, verdict: Verdict
) -> None:
    host = serving_v1(NAME, OTHER, THIRD)
    host.traffic["2" * 12] = verdict
    host.step = fails_at(NAME, mutations, error)
    host.sync(host.declaring(wanted("v3", strategy="canary"), *others(strategy)))
    assert {name: ending(host, name) for name in (OTHER, THIRD)} == alone(strategy, verdict)


@BUDGET
@given(mutation=st.integers(0, 120), strategy=STRATEGIES, verdict=VERDICTS)
@example(mutation=0, strategy="canary", verdict="Failed")
def test_killed_at_any_mutation_the_next_sync_converges(mutation: int, strategy: str, verdict: Verdict) -> None:
    host = serving_v1(OTHER, THIRD)
    host.traffic["2" * 12] = verdict
    host.step = dies_at(mutation)
    declared = others(strategy)
    try:
        host.sync(host.declaring(*declared))
    except Killed:
        host.step = never
        host.sync(host.declaring(*declared))
    endings = {name: ending(host, name) for name in (OTHER, THIRD)}
    assert endings == alone(strategy, verdict)


@BUDGET
@given(mutation=st.integers(0, 120), strategy=STRATEGIES, verdict=VERDICTS)
def test_a_lock_lost_at_any_mutation_stops_the_pass_and_the_next_sync_converges(
    mutation: int, strategy: str, verdict: Verdict
) -> None:
    host = serving_v1(OTHER, THIRD)
    host.traffic["2" * 12] = verdict
    count = 0

    def step(deployment: str) -> None:
        nonlocal count
        count += 1
        if count > mutation:
            raise LockLost("the lock went")

    host.step = step
    declared = others(strategy)
    with contextlib.suppress(LockLost):
        host.sync(host.declaring(*declared))
    host.step = never
    host.sync(host.declaring(*declared))
    assert {name: ending(host, name) for name in (OTHER, THIRD)} == alone(strategy, verdict)


@pytest.mark.parametrize("error", [RecursionError("too deep"), ValueError("a lock file whose stage is a string")])
def test_a_deployment_that_cannot_be_planned_is_broken_and_the_others_are_rolled_out(error: Exception) -> None:
    class Unplannable(PlannedDeployment, frozen=True):
        @property
        def key(self) -> str:
            raise error

    host = serving_v1(NAME, OTHER)
    fields = {name: getattr(wanted("v3"), name) for name in PlannedDeployment.__struct_fields__}
    result = host.sync(host.declaring(Unplannable(**fields), wanted("v2", OTHER)))
    assert list(result.view.plan.broken) == [NAME]
    assert type(error).__name__ in result.view.plan.broken[NAME]
    assert host.serves(OTHER) == ["2" * 12] and host.serves(NAME) == ["1" * 12]
    assert result.exit_code == 1


def test_an_unforeseen_error_names_the_deployment_and_its_traceback_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    host = serving_v1(NAME, OTHER)
    host.behaviour.trouble["ask", NAME] = KeyError("\x1b[31mrows\nGitops-ML-Attempt: forged")
    result = host.sync(host.declaring(wanted("v3"), wanted("v2", OTHER)))
    error = result.errors[NAME]
    assert isinstance(error, GitopsError)
    assert "dev/churn met an unforeseen error: KeyError: " in str(error)
    assert "Traceback" not in str(error) and "\x1b" not in str(error)
    assert any(record.name == "gitops_ml" and record.exc_info for record in caplog.records)
