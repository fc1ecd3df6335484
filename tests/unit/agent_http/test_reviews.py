"""Scheduled reviews: each environment is judged again on time, beside the passes, and trouble is said once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gitops_ml.control.agent.reviews import Reviews
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.review import DeploymentReview, Review, review
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import EngineUnavailable, GitopsError
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import serving_v1

Judge = Callable[[str], Review]


def unchanged(environment: str) -> Review:
    return Review(environment, "a" * 40, "engine")


def reviewed(verdict: str, before: str | None, recorded: str | None = None) -> Judge:
    """A judge that finds this."""
    ok = CheckResult(name="smoke", result="pass", reason="it answers its example request")
    bad = CheckResult(name="holdout", result="fail", reason="roc_auc is 0.61, below 0.7")
    one = DeploymentReview(
        name="churn",
        version="v1",
        generation="1" * 12,
        verdict=verdict,  # type: ignore[arg-type]
        before=before,  # type: ignore[arg-type]
        checks=(ok, bad),
    )
    return lambda name: Review(name, "a" * 40, "engine", reviews=[one], recorded=recorded)


class Scheduled:
    """Reviews every 100 seconds of the environments `dev` and `prod`."""

    def __init__(self, judge: Judge = unchanged, *environments: str) -> None:
        self.board = StatusBoard(time.monotonic)
        for name in environments or ("dev",):
            self.board.took_up(name)
        self.lines: list[str] = []
        self.judged: list[str] = []
        self.fetches = 0
        self.judge = judge
        self.reviews = Reviews(self._judge, self.board, 100.0, self.lines.append, self._fetch, share=lambda: 0.5)

    def _judge(self, environment: str) -> Review:
        self.judged.append(environment)
        return self.judge(environment)

    def _fetch(self) -> None:
        self.fetches += 1

    def reviewed(self) -> bool:
        """Whether the board shows a review of dev."""
        return self.board.read().environments["dev"].reviewed_at is not None

    def at(self, now: float) -> Scheduled:
        """Have one turn, and wait until what it began has ended."""
        self.reviews.turn(now)
        for running in self.reviews._running.values():
            running.result(60)
        return self


def test_each_environment_is_judged_every_so_often() -> None:
    scheduled = Scheduled(unchanged, "dev", "prod")
    began = []
    for now in range(0, 400, 10):
        before = len(scheduled.judged)
        scheduled.at(now)
        began += [(now, name) for name in scheduled.judged[before:]]
    assert sorted(began) == [(at, name) for at in (50, 150, 250, 350) for name in ("dev", "prod")]
    assert scheduled.lines == [] and scheduled.fetches == 0


def test_an_environment_whose_review_takes_long_is_judged_once_at_a_time_and_delays_no_other() -> None:
    release = threading.Event()

    def judge(name: str) -> Review:
        if name == "dev":
            release.wait(60)
        return unchanged(name)

    scheduled = Scheduled(judge, "dev", "prod")
    for now in (0, 50, 150, 250):
        scheduled.reviews.turn(now)
        if "prod" in scheduled.reviews._running:
            scheduled.reviews._running["prod"].result(60)
    assert sorted(scheduled.judged) == ["dev", "prod", "prod", "prod"]
    release.set()
    scheduled.reviews.close()


def test_an_environment_that_is_no_longer_kept_is_no_longer_judged() -> None:
    scheduled = Scheduled()
    scheduled.at(0).at(50)
    scheduled.board.dropped("dev")
    scheduled.at(150).at(250)
    assert scheduled.judged == ["dev"]


def test_a_verdict_that_changed_is_said_and_what_was_recorded_is_fetched() -> None:
    scheduled = Scheduled(reviewed("Failed", "Verified", recorded="b" * 40)).at(0).at(50)
    assert scheduled.lines == ["verify dev/churn v1 Failed, Verified before: holdout, roc_auc is 0.61, below 0.7"]
    assert scheduled.fetches == 1


def test_a_verdict_as_before_is_not_said() -> None:
    scheduled = Scheduled(reviewed("Failed", "Failed")).at(0).at(50)
    assert (scheduled.lines, scheduled.fetches) == ([], 0)
    assert scheduled.reviewed()


def test_trouble_is_said_once_and_so_is_its_end() -> None:
    lost: GitopsError | None = EngineUnavailable("the engine does not answer for 3 s")

    def judge(name: str) -> Review:
        if lost:
            raise lost
        return unchanged(name)

    scheduled = Scheduled(judge).at(0).at(50).at(150)
    assert not scheduled.reviewed()
    lost = None
    scheduled.at(250)
    assert scheduled.lines == [
        "error verify dev: the engine does not answer for 3 s",
        "recovered verify dev",
    ]
    assert scheduled.reviewed()


def test_an_error_that_nobody_foresaw_stops_no_review() -> None:
    def judge(name: str) -> Review:
        raise ZeroDivisionError("by nought")

    scheduled = Scheduled(judge).at(0).at(50).at(150)
    assert scheduled.judged == ["dev", "dev"]
    assert scheduled.lines == ["error verify dev: unforeseen ZeroDivisionError: by nought"]


def test_an_error_of_one_deployment_names_it() -> None:
    error = EngineUnavailable("gone")
    scheduled = Scheduled(lambda name: Review(name, "a" * 40, "engine", errors={"churn": error})).at(0).at(50)
    assert scheduled.lines == ["error verify dev/churn: gone"]


def test_a_review_that_is_stopped_says_nothing() -> None:
    def judge(name: str) -> Review:
        raise KeyboardInterrupt

    assert Scheduled(judge).at(0).at(50).lines == []


def test_a_review_for_the_agent_leaves_what_follows_to_its_passes() -> None:
    host = serving_v1(NAME)
    host.verdicts["1" * 12] = "Failed"
    environment = host.declaring(wanted("v1"))
    result = review(environment, follow=False)
    assert [each.verdict for each in result.reviews] == ["Failed"]
    assert result.synced is None
