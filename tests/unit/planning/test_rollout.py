"""The life of a rollout, as the whole text of its plan: begun, continued, and called off by a newer commit."""

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
        verify dev/churn 111111111111 because it is not verified yet
        """
    )


def test_a_new_version() -> None:
    assert planned(serving(V1), wanted("v2")) == block(
        """
        begin dev/churn 222222222222 because v2 is declared and v1 serves
        build dev/churn 222222222222 because v2 is declared and v1 serves
        start dev/churn 222222222222 x1 because v2 is declared and v1 serves
        verify dev/churn 222222222222 because it is not verified yet
        """
    )


@pytest.mark.parametrize(
    ("of", "cause"),
    [
        (generation("v1", fingerprint="a" * 12, built=False), "the spec of v1 changed"),
        (
            generation("v1", fingerprint="a" * 12, digest=f"md5:{'b' * 32}", built=False),
            "v1 has digest bbbbbbbb and 11111111 serves",
        ),
        (generation("v1.1", fingerprint="a" * 12, built=False), "v1.1 is declared and v1 serves"),
    ],
)
def test_the_cause_of_a_rollout_is_what_changed(of: Generation, cause: str) -> None:
    assert planned(serving(V1), wanted(of=of)).splitlines()[0] == f"begin dev/churn aaaaaaaaaaaa because {cause}"


def test_the_same_content_under_another_version_is_a_new_generation() -> None:
    renamed = generation("v1.1", fingerprint="a" * 12, digest=V1.digest, built=False)
    assert planned(serving(V1), wanted(of=renamed)).startswith("begin dev/churn aaaaaaaaaaaa")


def test_an_attempt_names_its_incumbent() -> None:
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
            verify dev/churn 222222222222 because it is not verified yet
            """,
            id="after the intent",
        ),
        pytest.param(
            [built(V2)],
            [replica(V1)],
            """
            start dev/churn 222222222222 x2 because its rollout was interrupted
            verify dev/churn 222222222222 because it is not verified yet
            """,
            id="after the build",
        ),
        pytest.param(
            [built(V2)],
            [replica(V1), replica(V2, 0), replica(V2, 1, state="created")],
            """
            remove dev/churn 222222222222 because a replica is created
            start dev/churn 222222222222 x1 because its rollout was interrupted
            verify dev/churn 222222222222 because it is not verified yet
            """,
            id="between creating and starting a replica",
        ),
        pytest.param(
            [built(V2)],
            [replica(V1), replica(V2, 0), replica(V2, 1)],
            "verify dev/churn 222222222222 because it is not verified yet",
            id="before the verdict",
        ),
        pytest.param(
            [built(V2), judged(V2)],
            [replica(V1), replica(V2, 0), replica(V2, 1)],
            """
            route dev/churn 222222222222 because it is verified
            settle dev/churn 222222222222 because it has all traffic
            retire dev/churn 111111111111 because 222222222222 took over
            """,
            id="after the verdict",
        ),
    ],
)
def test_an_interrupted_rollout_continues(after: list[Entry], there: list[Container], expected: str) -> None:
    seen = serving(V1, replica(V1, 1), *there, journal=rolling(*after))
    assert planned(seen, wanted("v2", replicas=2)) == block(expected)


def test_a_rollout_interrupted_after_it_was_settled() -> None:
    seen = serving(V2, replica(V1), replica(V2), journal=rolling(built(V2), judged(V2), settled(V2)))
    assert planned(seen, wanted("v2")) == block(
        """
        retire dev/churn 111111111111 because 222222222222 serves
        record dev/gateway attempt-churn-v2 because these verdicts are not in Git yet
        """
    )


def test_a_verified_candidate_takes_over() -> None:
    assert planned(midway(built(V2), judged(V2)), wanted("v2")) == block(
        """
        route dev/churn 222222222222 because it is verified
        settle dev/churn 222222222222 because it has all traffic
        retire dev/churn 111111111111 because 222222222222 took over
        """
    )


def test_a_verified_candidate_whose_replica_died_is_completed_first() -> None:
    there = [replica(V1), replica(V2, state="exited")]
    assert planned(midway(built(V2), judged(V2), there=there), wanted("v2")) == block(
        """
        start dev/churn 222222222222 x1 because a replica is gone
        route dev/churn 222222222222 because it is verified
        settle dev/churn 222222222222 because it has all traffic
        retire dev/churn 111111111111 because 222222222222 took over
        """
    )


def test_a_failed_candidate_leaves_the_incumbent_serving() -> None:
    assert planned(midway(built(V2), judged(V2, "Failed")), wanted("v2")) == block(
        """
        remove dev/churn 222222222222 because its verification failed
        settle dev/churn 222222222222 because its verification failed
        """
    )


def test_a_failed_first_deployment_leaves_nothing() -> None:
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
def test_a_candidate_is_superseded_before_it_has_containers(after: list[Entry], there: list[Container]) -> None:
    assert planned(midway(*after, there=there), wanted("v3")) == (
        "settle dev/churn 222222222222 because a newer commit declares something else"
    )


def test_a_candidate_is_superseded_before_its_verdict() -> None:
    assert planned(midway(built(V2)), wanted("v3")) == block(
        """
        remove dev/churn 222222222222 because a newer commit declares something else
        settle dev/churn 222222222222 because a newer commit declares something else
        """
    )


def test_a_superseded_candidate_with_traffic_is_drained() -> None:
    seen = midway(built(V2), judged(V2))
    seen = msgspec.structs.replace(seen, routes={"churn": route(V2, replica(V2))})
    assert planned(seen, wanted("v3")) == block(
        """
        route dev/churn 111111111111 because a newer commit declares something else
        retire dev/churn 222222222222 because a newer commit declares something else
        settle dev/churn 222222222222 because a newer commit declares something else
        """
    )


def test_a_candidate_superseded_by_the_incumbent_needs_no_rollout() -> None:
    seen = midway(built(V2))
    assert planned(seen, wanted("v1")).splitlines()[-1].startswith("settle dev/churn 222222222222")
    after = serving(V1, journal=rolling(built(V2), settled(V2, "superseded")))
    assert planned(after, wanted("v1")) == ""


def test_a_superseded_candidate_is_not_quarantined() -> None:
    after = serving(V1, journal=rolling(built(V2), settled(V2, "superseded")))
    assert planned(after, wanted("v2")).startswith("begin dev/churn 222222222222")


def test_a_draining_generation_that_is_wanted_again_is_adopted() -> None:
    journal = [*promoted(V1), *promoted(V2, V1)]
    seen = serving(V2, replica(V1), replica(V2), journal=journal)
    assert planned(seen, wanted(of=V1)) == block(
        """
        begin dev/churn 111111111111 because v1 is declared and v2 serves
        verify dev/churn 111111111111 because it is not verified yet
        """
    )
