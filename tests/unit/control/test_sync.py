"""The sync loop: each deployment has its own back-off, and an open canary is watched whatever happens elsewhere."""

from __future__ import annotations

import pytest

from gitops_ml.control.backoff import RECORD, Backoff
from gitops_ml.control.environment.view import Options
from gitops_ml.control.reconciler import reconcile
from gitops_ml.control.sync import sync
from gitops_ml.core.journal.entries import Applied
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import (
    EngineFailed,
    EngineUnavailable,
    GitopsError,
    InputError,
    LockHeld,
    LockLost,
    ModelRejected,
    PushRejected,
    SourceUnavailable,
)
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import OTHER, THREE, TWO, bad_canary, serving_v1
from tests.unit.simulated_host import Host
from tests.unit.simulated_session import SimulatedSession


@pytest.mark.parametrize("error", [EngineFailed("its image cannot be built"), InputError("a person has to act")])
def test_a_bad_canary_is_stopped_beside_an_image_that_cannot_be_built(error: GitopsError) -> None:
    host, environment = bad_canary(NAME)
    host.behaviour.trouble["image", NAME] = error
    result = host.sync(environment)
    assert host.serves(OTHER) == ["1" * 12] and result.settled[OTHER] == ["failed"]
    assert result.errors == {NAME: error} and result.exit_code == 1


def test_a_bad_canary_is_stopped_although_no_record_can_be_pushed() -> None:
    host, environment = bad_canary(NAME)
    environment.push_error = PushRejected("the remote refuses")
    result = host.sync(environment)
    assert host.serves(OTHER) == ["1" * 12] and host.serves(NAME) == [THREE]
    assert result.record_error is environment.push_error and result.exit_code == 5
    environment.push_error = None
    assert host.sync(environment).exit_code == 3
    assert not [a for name in (NAME, OTHER) for a in host.state(name).attempts if not a.recorded]


@pytest.mark.parametrize("verdict", ["Failed", "Verified"])
def test_a_refused_record_is_tried_again_and_then_told(verdict: Verdict) -> None:
    host = serving_v1(NAME)
    host.verdicts[TWO] = verdict
    environment = host.declaring(wanted("v2"))
    environment.push_error = PushRejected("the remote refuses")
    result = host.sync(environment)
    assert result.exit_code == 5 and result.record_error is environment.push_error
    assert environment.slept >= 7.0, "it is tried again by its back-off"


def test_a_record_that_is_taken_at_a_later_try_is_no_error() -> None:
    host = serving_v1(NAME)
    environment = host.declaring(wanted("v2"))
    environment.push_error = PushRejected("the remote refuses")

    def accept_soon() -> None:
        if environment.slept >= 3.0:
            environment.push_error = None

    environment.on_look = accept_soon
    result = host.sync(environment)
    assert result.exit_code == 0 and result.record_error is None and result.commit
    assert not [a for a in host.state(NAME).attempts if not a.recorded]


def test_a_failed_rollout_is_told_although_its_pass_lost_the_lock_and_git_has_gone_back() -> None:
    host = serving_v1(NAME, OTHER)
    host.verdicts[TWO] = "Failed"
    environment = host.declaring(wanted("v2"), wanted("v3", OTHER))
    lost: list[str] = []

    def lose_the_lock_once(deployment: str) -> None:
        if deployment == OTHER and host.state(NAME).attempts[-1].outcome == "failed" and not lost:
            lost.append(deployment)
            raise LockLost("expired")

    def go_back() -> None:
        if lost:
            environment.declared = (wanted("v1"), wanted("v3", OTHER))

    host.step, environment.on_look = lose_the_lock_once, go_back
    result = host.sync(environment)
    assert lost and host.serves(NAME) == ["1" * 12] and host.serves(OTHER) == [THREE]
    assert result.settled == {NAME: ["failed"], OTHER: ["promoted"]} and result.exit_code == 3


def test_what_a_pass_has_applied_is_written_later_or_told() -> None:
    host = serving_v1(NAME)
    failures = [EngineFailed("its disk is full")] * 2

    class FullDisk(SimulatedSession):
        def write(self, *entries: Entry) -> None:
            if failures and any(isinstance(entry, Applied) for entry in entries):
                raise failures.pop()
            super().write(*entries)

    environment = host.declaring(wanted("v1"))
    host.entries = [entry for entry in host.entries if not isinstance(entry, Applied)]
    environment.session_type = FullDisk
    host.kill(host.replicas(NAME)[0].id)
    assert host.sync(environment).exit_code == 0
    assert not failures and sum(isinstance(entry, Applied) for entry in host.entries) == 1
    failures = [EngineFailed("its disk is full")] * 9
    host.entries = [entry for entry in host.entries if not isinstance(entry, Applied)]
    host.kill(host.replicas(NAME)[0].id)
    result = host.sync(environment)
    assert result.exit_code == 1 and list(result.errors) == [""]


def test_a_refused_record_hides_no_other_error() -> None:
    host, environment = bad_canary(NAME)
    environment.push_error = PushRejected("the remote refuses")
    host.behaviour.trouble["image", NAME] = EngineFailed("no space left on device")
    result = host.sync(environment)
    assert list(result.errors) == [NAME] and result.record_error is environment.push_error
    assert result.exit_code == 1


def test_a_refused_revert_is_said_by_each_pass_until_it_is_in_git() -> None:
    host, environment = bad_canary(NAME)
    environment.revert_error = PushRejected("main is protected")
    for _ in range(2):
        result = host.sync(environment)
        assert result.record_error is environment.revert_error and result.exit_code == 5
    assert host.serves(NAME) == [THREE], "the other deployment is rolled out"
    assert [a.outcome for a in host.state(OTHER).attempts if a.unreverted and a.recorded] == ["failed"]
    environment.revert_error = None
    assert host.sync(environment).exit_code == 3
    assert not [a for a in host.state(OTHER).attempts if a.unreverted]


def test_a_person_who_changes_the_declaration_ends_a_refused_revert() -> None:
    host, environment = bad_canary()
    environment.revert_error = PushRejected("main is protected")
    assert host.sync(environment).exit_code == 5
    fixed = host.declaring(wanted("v1", OTHER))
    fixed.revert_error = environment.revert_error
    assert host.sync(fixed).exit_code == 0
    assert not [a for a in host.state(OTHER).attempts if a.unreverted]


def test_a_refused_revert_makes_no_pass_fail_that_waits_for_its_back_off() -> None:
    _, environment = bad_canary()
    environment.revert_error = PushRejected("main is protected")
    backoff = Backoff(first=1e6, clock=environment.monotonic)
    for _ in range(20):
        outcome = reconcile(environment, backoff=backoff)
    assert outcome.record_error is environment.revert_error
    assert backoff.failures(RECORD) == 1 and not outcome.execution.errors


def test_a_retry_ends_a_refused_revert_for_the_new_attempt_decides() -> None:
    host, environment = bad_canary()
    environment.revert_error = PushRejected("main is protected")
    assert host.sync(environment).exit_code == 5
    host.traffic[TWO] = "Verified"
    result = sync(environment, Options(retry=True))
    assert host.serves(OTHER) == [TWO] and result.exit_code == 0


def test_a_refused_record_is_tried_again_while_a_canary_is_watched() -> None:
    host, environment = bad_canary(NAME)
    environment.push_error = PushRejected("the remote refuses")

    def accept_during_the_canary() -> None:
        state = host.state(OTHER).open
        if state and state.routed:
            environment.push_error = None

    environment.on_look = accept_during_the_canary
    host.traffic[TWO] = "Verified"
    result = host.sync(environment)
    assert host.serves(NAME) == [THREE] and host.serves(OTHER) == [TWO]
    assert result.exit_code == 0 and result.record_error is None


def test_trouble_that_passes_is_tried_again_with_a_growing_wait() -> None:
    host = serving_v1(NAME)
    failures = iter([EngineUnavailable("1"), EngineUnavailable("2"), EngineUnavailable("3")])

    def fail() -> None:
        error = next(failures, None)
        if error:
            raise error

    environment = host.declaring(wanted("v2"))
    environment.on_look = fail
    assert host.sync(environment).exit_code == 0
    assert host.serves(NAME) == [TWO] and environment.slept >= 7.0


def test_trouble_that_stays_is_raised() -> None:
    environment = serving_v1(NAME).declaring(wanted("v2"))
    environment.fetch_error = SourceUnavailable("the remote does not answer")
    with pytest.raises(SourceUnavailable):
        sync(environment)


def test_a_lock_that_is_held_is_waited_for_and_then_raised() -> None:
    environment = serving_v1(NAME).declaring(wanted("v2"))

    def held() -> None:
        raise LockHeld("another pass")

    environment.on_look = held
    with pytest.raises(LockHeld):
        sync(environment)
    assert environment.slept > 1.0


def test_a_gateway_that_cannot_be_had_is_named_and_no_deployment_is_begun() -> None:
    host = Host()

    def step(deployment: str) -> None:
        if not deployment:
            raise EngineFailed("port 8081 is taken")

    host.step = step
    result = host.sync(host.declaring(wanted("v1")))
    assert list(result.errors) == [""] and result.exit_code == 1
    assert host.state(NAME).open is None


def test_a_model_whose_artifact_is_malformed_is_failed_rolled_back_quarantined_and_recorded() -> None:
    host, environment = bad_canary(NAME)
    host.behaviour.trouble["image", NAME] = ModelRejected("a file of the model cannot be read", why="no requirements")
    result = host.sync(environment)
    attempt = host.state(NAME).attempts[-1]
    assert (attempt.verdict, attempt.outcome, bool(attempt.recorded)) == ("Failed", "failed", True)
    assert [(c.name, c.result) for c in attempt.checks] == [("artifact", "fail")]
    assert "no requirements" in attempt.checks[0].reason
    assert host.state(NAME).quarantine and host.serves(NAME) == ["1" * 12] and host.replicas(NAME)
    assert result.exit_code == 3 and not result.errors
