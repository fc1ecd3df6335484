"""`verify` judges without the lock: other passes go on meanwhile, and only a verdict that still holds is written."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from gitops_ml.control.review import VERDICT_WAIT, Review, review
from gitops_ml.core.declaration.checks import Checks, HttpCheck
from gitops_ml.core.journal.fold import Reviewed
from gitops_ml.core.journal.reviews import candidate_has_users
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import EngineFailed, InputError, LockHeld, PushRejected
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import OTHER, THREE, TWO, serving_v1
from tests.unit.simulated_host import Host

ONE = "1" * 12


def while_judged(host: Host, name: str, *works: Callable[[], object]) -> None:
    """Have other passes do something while the checks of a deployment run: one thing at each judgement."""
    rest = list(works)

    def slow() -> None:
        if rest:
            host.behaviour.slow.clear()
            rest.pop(0)()
            host.behaviour.slow[name] = slow

    host.behaviour.slow[name] = slow


def reviews(host: Host) -> list[tuple[str, str | None]]:
    """The verdicts that reviews wrote into the journal, by generation."""
    entries = [entry.attempt for entry in host.entries if isinstance(entry, Reviewed)]
    return [(attempt.generation.fingerprint, attempt.verdict) for attempt in entries]


def verdicts(result: Review) -> list[tuple[str, str, str]]:
    return [(reviewed.name, reviewed.generation, reviewed.verdict) for reviewed in result.reviews]


def test_a_rollout_of_another_deployment_ends_while_checks_run() -> None:
    host = serving_v1(NAME, OTHER)
    newer = host.declaring(wanted("v1"), wanted("v2", OTHER))
    while_judged(host, NAME, lambda: host.sync(newer))
    result = review(host.declaring(wanted("v1"), wanted("v1", OTHER)))
    assert host.serves(OTHER) == [TWO]
    assert verdicts(result) == [(NAME, ONE, "Verified"), (OTHER, TWO, "Verified")]
    assert (result.errors, result.exit_code, reviews(host)) == ({}, 0, [])


def test_an_unchanged_verdict_takes_no_lock() -> None:
    host = serving_v1(NAME)
    host.locked_until = math.inf
    assert verdicts(review(host.declaring(wanted("v1")))) == [(NAME, ONE, "Verified")]


def test_a_changed_verdict_waits_for_the_pass_that_holds_the_lock() -> None:
    host = serving_v1(NAME)
    host.verdicts[ONE] = "Failed"
    free = host.locked_until = host.seconds + 60.0
    result = review(host.declaring(wanted("v1")))
    assert (verdicts(result), reviews(host)) == ([(NAME, ONE, "Failed")], [(ONE, "Failed")])
    assert (result.recorded, result.exit_code, host.seconds >= free) == ("f" * 40, 3, True)


def test_a_verdict_that_cannot_be_written_is_an_error() -> None:
    host = serving_v1(NAME)
    host.verdicts[ONE] = "Failed"
    host.locked_until = host.seconds + 2 * VERDICT_WAIT
    result = review(host.declaring(wanted("v1")))
    assert isinstance(result.errors[NAME], LockHeld)
    assert (result.reviews, reviews(host), result.exit_code) == ([], [], 1)


def test_a_verdict_that_git_does_not_hold_is_recorded_although_it_is_unchanged() -> None:
    host = serving_v1(NAME)
    host.verdicts[ONE] = "Failed"
    environment = host.declaring(wanted("v1"))
    environment.push_error = PushRejected("it was refused")
    assert review(environment).exit_code == 5
    environment.push_error = None
    result = review(environment)
    assert ([r.changed for r in result.reviews], result.recorded) == ([False], "f" * 40)
    assert reviews(host) == [(ONE, "Failed")]


def test_a_verify_that_was_killed_after_its_revert_is_finished_by_the_next_one() -> None:
    host = serving_v1(NAME)
    host.sync(host.declaring(wanted("v2")))
    host.verdicts[TWO] = "Failed"
    assert review(host.declaring(wanted("v2")), follow=False).recorded
    assert host.serves(NAME) == [TWO]
    result = review(host.declaring(wanted("v1")))
    assert host.serves(NAME) == [ONE]
    assert (verdicts(result), result.exit_code) == ([(NAME, TWO, "Failed")], 3)


def test_a_failed_version_whose_successor_is_declared_already_is_not_put_back() -> None:
    host = serving_v1(NAME)
    host.sync(host.declaring(wanted("v2")))
    host.verdicts[TWO] = "Failed"
    result = review(host.declaring(wanted("v3")))
    assert host.serves(NAME) == [TWO]
    assert [(r.goes_back_to, r.declared_instead) for r in result.reviews] == [(None, "v3")]


def test_a_version_that_replaced_the_judged_one_meanwhile_is_judged_instead() -> None:
    host = serving_v1(NAME)

    def replace() -> None:
        host.sync(host.declaring(wanted("v2")))
        host.verdicts[ONE] = "Failed"

    while_judged(host, NAME, replace)
    result = review(host.declaring(wanted("v1")))
    assert verdicts(result) == [(NAME, TWO, "Verified")]
    assert reviews(host) == [], "what the checks said of v1 while it went away is no verdict"


@pytest.mark.parametrize("verdict", ["Verified", "Failed"])
def test_a_deployment_that_changes_at_each_judgement_gets_no_verdict(verdict: Verdict) -> None:
    host = serving_v1(NAME)

    def replace(judged: str, version: str) -> None:
        host.sync(host.declaring(wanted(version)))
        host.verdicts[judged] = verdict

    while_judged(host, NAME, lambda: replace(ONE, "v2"), lambda: replace(TWO, "v3"))
    result = review(host.declaring(wanted("v1")))
    assert host.serves(NAME) == [THREE]
    assert result.errors[NAME].fix == "gitops-ml verify dev churn"
    assert (result.reviews, reviews(host), result.exit_code) == ([], [], 1)


def test_checks_at_the_public_url_run_again_after_a_canary_got_users_meanwhile() -> None:
    own = Checks(http=(HttpCheck(name="orders", url="${endpoint}"),))
    host = serving_v1(NAME)
    serving, canary = wanted("v1", verify=own), host.declaring(wanted("v2", strategy="canary"))

    def begin_canary() -> None:
        while not candidate_has_users(host.state(NAME)):
            host.one_pass(canary)
        host.verdicts[ONE] = "Failed"

    while_judged(host, NAME, begin_canary, host.verdicts.clear)
    result = review(host.declaring(serving))
    assert (verdicts(result), reviews(host)) == ([(NAME, ONE, "Verified")], [])


def test_trouble_with_one_deployment_leaves_the_others_judged() -> None:
    host = serving_v1(NAME, OTHER)
    host.behaviour.trouble["ask", NAME] = RuntimeError("unforeseen")
    host.verdicts[ONE] = "Failed"
    result = review(host.declaring(wanted("v1"), wanted("v1", OTHER)))
    assert (list(result.errors), verdicts(result)) == ([NAME], [(OTHER, ONE, "Failed")])
    assert (reviews(host), result.recorded) == ([(ONE, "Failed")], "f" * 40)


def test_a_deployment_without_a_running_replica_gets_no_verdict() -> None:
    host = serving_v1(NAME)
    host.kill(host.replicas(NAME)[0].id)
    result = review(host.declaring(wanted("v1")))
    assert result.errors[NAME].what == "no replica of churn v1 runs"
    assert (reviews(host), result.exit_code) == ([], 1)


def test_only_a_declared_deployment_of_an_environment_with_a_gateway_is_judged() -> None:
    with pytest.raises(InputError, match="dev declares no chrun"):
        review(serving_v1(NAME).declaring(wanted("v1")), "chrun")
    with pytest.raises(EngineFailed, match="dev has no gateway"):
        review(Host().declaring(wanted("v1")))
