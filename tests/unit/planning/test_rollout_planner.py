"""The life of a rollout, as the whole text of its plan: begun, gone on with, called off by a newer commit."""

from __future__ import annotations

import msgspec
import pytest

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.planner import make_plan
from tests.unit.builders import NOW, generation, replica, wanted
from tests.unit.journals import built, intent, judged, promoted, settled
from tests.unit.snapshots import block, inputs, midway, planned, rolling, route, serving, snapshot

V1, V2 = generation("v1"), generation("v2")


# --- a rollout begins -------------------------------------------------------------------------------------------------


def test_the_first_deployment() -> None:
    assert planned(snapshot(), wanted("v1", replicas=2)) == block(
        """
        begin dev/churn 111111111111 because v1 is declared and nothing serves
        build dev/churn 111111111111 because v1 is declared and nothing serves
        start dev/churn 111111111111 x2 because v1 is declared and nothing serves
        verify dev/churn 111111111111 because it has not been verified
        """
    )


def test_a_new_version() -> None:
    assert planned(serving(V1), wanted("v2")) == block(
        """
        begin dev/churn 222222222222 because v2 is declared and v1 serves
        build dev/churn 222222222222 because v2 is declared and v1 serves
        start dev/churn 222222222222 x1 because v2 is declared and v1 serves
        verify dev/churn 222222222222 because it has not been verified
        """
    )


@pytest.mark.parametrize(
    ("of", "cause"),
    [
        (generation("v1", fingerprint="a" * 12, built=False), "the spec of v1 changed"),
        (
            generation("v1", fingerprint="a" * 12, digest=f"md5:{'b' * 32}", built=False),
            "v1 holds bbbbbbbb and 11111111 serves",
        ),
        (generation("v1.1", fingerprint="a" * 12, built=False), "v1.1 is declared and v1 serves"),
    ],
)
def test_what_makes_a_new_generation_is_its_cause(of: Generation, cause: str) -> None:
    assert planned(serving(V1), wanted(of=of)).splitlines()[0] == f"begin dev/churn aaaaaaaaaaaa because {cause}"


def test_the_same_content_under_another_version_is_a_new_generation() -> None:
    renamed = generation("v1.1", fingerprint="a" * 12, digest=V1.digest, built=False)
    assert planned(serving(V1), wanted(of=renamed)).startswith("begin dev/churn aaaaaaaaaaaa")


def test_the_attempt_says_what_it_replaces() -> None:
    begin = make_plan(inputs(serving(V1), wanted("v2"))).actions[0]
    assert isinstance(begin, plan.Begin)
    attempt = begin.attempt
    assert attempt.id == "222222222222-20261123T090000-2"
    assert attempt.incumbent == V1
    assert (attempt.strategy, attempt.boot, attempt.started) == ("blue-green", False, NOW.isoformat())


# --- a rollout goes on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "there", "expected"),
    [
        pytest.param(
            [],
            [replica(V1)],
            """
            build dev/churn 222222222222 because its rollout was interrupted
            start dev/churn 222222222222 x2 because its rollout was interrupted
            verify dev/churn 222222222222 because it has not been verified
            """,
            id="after the intent",
        ),
        pytest.param(
            [built(V2)],
            [replica(V1)],
            """
            start dev/churn 222222222222 x2 because its rollout was interrupted
            verify dev/churn 222222222222 because it has not been verified
            """,
            id="after the build",
        ),
        pytest.param(
            [built(V2)],
            [replica(V1), replica(V2, 0), replica(V2, 1, state="created")],
            """
            remove dev/churn 222222222222 because a replica is created
            start dev/churn 222222222222 x1 because its rollout was interrupted
            verify dev/churn 222222222222 because it has not been verified
            """,
            id="between creating and starting a replica",
        ),
        pytest.param(
            [built(V2)],
            [replica(V1), replica(V2, 0), replica(V2, 1)],
            "verify dev/churn 222222222222 because it has not been verified",
            id="before the verdict",
        ),
        pytest.param(
            [built(V2), judged(V2)],
            [replica(V1), replica(V2, 0), replica(V2, 1)],
            """
            route dev/churn 222222222222 because it is verified
            settle dev/churn 222222222222 because all traffic is on it
            retire dev/churn 111111111111 because 222222222222 took over
            """,
            id="after the verdict",
        ),
    ],
)
def test_a_rollout_goes_on_from_where_it_was_cut_off(after: list[Entry], there: list[Container], expected: str) -> None:
    seen = serving(V1, replica(V1, 1), *there, journal=rolling(*after))
    assert planned(seen, wanted("v2", replicas=2)) == block(expected)


def test_a_rollout_that_was_cut_off_once_it_was_settled() -> None:
    seen = serving(V2, replica(V1), replica(V2), journal=rolling(built(V2), judged(V2), settled(V2)))
    assert planned(seen, wanted("v2")) == block(
        """
        retire dev/churn 111111111111 because 222222222222 serves
        publish dev/gateway attempt-churn-v2 because Git does not hold these verdicts yet
        """
    )


def test_verified_takes_over() -> None:
    assert planned(midway(built(V2), judged(V2)), wanted("v2")) == block(
        """
        route dev/churn 222222222222 because it is verified
        settle dev/churn 222222222222 because all traffic is on it
        retire dev/churn 111111111111 because 222222222222 took over
        """
    )


def test_verified_and_its_replica_died_since() -> None:
    there = [replica(V1), replica(V2, state="exited")]
    assert planned(midway(built(V2), judged(V2), there=there), wanted("v2")) == block(
        """
        start dev/churn 222222222222 x1 because its replica is gone
        route dev/churn 222222222222 because it is verified
        settle dev/churn 222222222222 because all traffic is on it
        retire dev/churn 111111111111 because 222222222222 took over
        """
    )


def test_failed_and_an_incumbent_serves() -> None:
    assert planned(midway(built(V2), judged(V2, "Failed")), wanted("v2")) == block(
        """
        remove dev/churn 222222222222 because its verification failed
        settle dev/churn 222222222222 because its verification failed
        """
    )


def test_failed_and_it_was_the_first() -> None:
    seen = snapshot(replica(V2), journal=[intent(V2), built(V2), judged(V2, "Failed")])
    assert planned(seen, wanted("v2")) == block(
        """
        remove dev/churn 222222222222 because its verification failed
        settle dev/churn 222222222222 because its verification failed
        """
    )


def test_inconclusive_is_not_a_pass() -> None:
    assert planned(midway(built(V2), judged(V2, "Inconclusive")), wanted("v2")) == block(
        """
        remove dev/churn 222222222222 because its verification is inconclusive
        settle dev/churn 222222222222 because its verification is inconclusive
        """
    )


def test_a_verdict_outlives_the_commit_that_preempts_it() -> None:
    plan_ = make_plan(inputs(midway(built(V2), judged(V2, "Failed")), wanted("v3")))
    settle = plan_.actions[-1]
    assert isinstance(settle, plan.Settle) and settle.outcome == "failed"


# --- a newer commit preempts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "there"),
    [
        pytest.param([], [replica(V1)], id="after the intent"),
        pytest.param([built(V2)], [replica(V1)], id="after the build"),
    ],
)
def test_superseded_before_it_has_containers(after: list[Entry], there: list[Container]) -> None:
    assert planned(midway(*after, there=there), wanted("v3")) == (
        "settle dev/churn 222222222222 because a newer commit declares something else"
    )


def test_superseded_before_its_verdict() -> None:
    assert planned(midway(built(V2)), wanted("v3")) == block(
        """
        remove dev/churn 222222222222 because a newer commit declares something else
        settle dev/churn 222222222222 because a newer commit declares something else
        """
    )


def test_superseded_once_the_traffic_is_on_it_puts_the_traffic_back_and_drains_it() -> None:
    seen = midway(built(V2), judged(V2))
    seen = msgspec.structs.replace(seen, routes={"churn": route(V2, replica(V2))})
    assert planned(seen, wanted("v3")) == block(
        """
        route dev/churn 111111111111 because a newer commit declares something else
        retire dev/churn 222222222222 because a newer commit declares something else
        settle dev/churn 222222222222 because a newer commit declares something else
        """
    )


def test_superseded_by_the_incumbent_needs_no_rollout() -> None:
    seen = midway(built(V2))
    assert planned(seen, wanted("v1")).splitlines()[-1].startswith("settle dev/churn 222222222222")
    after = serving(V1, journal=rolling(built(V2), settled(V2, "superseded")))
    assert planned(after, wanted("v1")) == ""


def test_superseded_is_not_quarantined() -> None:
    after = serving(V1, journal=rolling(built(V2), settled(V2, "superseded")))
    assert planned(after, wanted("v2")).startswith("begin dev/churn 222222222222")


def test_a_draining_generation_that_is_wanted_again_is_adopted() -> None:
    journal = [*promoted(V1), *promoted(V2, V1)]
    seen = serving(V2, replica(V1), replica(V2), journal=journal)
    assert planned(seen, wanted(of=V1)) == block(
        """
        begin dev/churn 111111111111 because v1 is declared and v2 serves
        verify dev/churn 111111111111 because it has not been verified
        """
    )
