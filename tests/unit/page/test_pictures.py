"""Pictures: what is drawn where, from the figures of a record and from nothing else."""

from __future__ import annotations

import msgspec
import pytest

from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.page.pictures.choice import picture_of, trends_of
from gitops_ml.page.pictures.shapes import LEFT, RIGHT, Picture, Shape
from tests.unit.page.examples import (
    AGREEMENT,
    BAD_TRAFFIC,
    COMMAND,
    DRIFT,
    EVERY,
    FIRST,
    HISTORY,
    HOLDOUT,
    HTTP,
    LOSS,
    PROMETHEUS,
    READY,
    TRAFFIC,
    attempt,
    slower,
)


def drawn(check: CheckResult) -> Picture:
    picture = picture_of(check)
    assert picture
    return picture


def marks(picture: Picture, kind: str, style: str) -> list[Shape]:
    return [shape for shape in picture.shapes if shape.kind == kind and shape.style == style]


def texts(picture: Picture) -> list[str]:
    return [shape.text for shape in picture.shapes if shape.kind == "text"]


def without(check: CheckResult, *names: str) -> CheckResult:
    return msgspec.structs.replace(check, figures={k: v for k, v in check.figures.items() if k not in names})


def test_a_passing_interval_lies_right_of_what_is_allowed() -> None:
    picture = drawn(HOLDOUT)
    gain, value = marks(picture, "rect", "bar good")
    allowed, least = marks(picture, "line", "bound")
    assert gain.a > allowed.a and value.a > least.a
    (zero,) = marks(picture, "line", "zero")
    assert gain.a < zero.a < gain.a + gain.c, "the gain's interval holds zero"
    assert "\u22120.01 allowed" in texts(picture) and "min 0.7" in texts(picture)


def test_a_failing_interval_lies_left_of_what_is_allowed() -> None:
    gain = marks(drawn(LOSS), "rect", "bar bad")[0]
    assert gain.a + gain.c < marks(drawn(LOSS), "line", "bound")[0].a


def test_the_forbidden_side_of_a_maximum_is_on_its_right() -> None:
    zone = marks(drawn(LOSS), "rect", "zone")[1]
    assert zone.a + zone.c == pytest.approx(RIGHT)


def test_probabilities_that_come_true_lie_on_the_diagonal() -> None:
    picture = drawn(HOLDOUT)
    points = marks(picture, "dot", "dot plain")
    diagonal = marks(picture, "line", "diagonal")[0]
    slope = (diagonal.d - diagonal.b) / (diagonal.c - diagonal.a)
    above = [point.b - (diagonal.b + slope * (point.a - diagonal.a)) for point in points]
    predicted, observed = (HOLDOUT.figures[f"calibration_{kind}"] for kind in ("predicted", "observed"))
    assert isinstance(predicted, list) and isinstance(observed, list)
    assert [height < 0 for height in above] == [float(o) > float(p) for p, o in zip(predicted, observed, strict=True)]
    assert len(marks(picture, "line", "whisker")) == len(points) == 10
    assert "0.06 at 0.05" in picture.description
    assert picture.height > drawn(without(HOLDOUT, "calibration_observed")).height


@pytest.mark.parametrize("odd", [[0.1], [0.1] * 9 + ["x"], [0.1] * 9 + [2.0], [0.1] * 9 + [float("nan")], "text", None])
def test_a_calibration_that_is_not_whole_is_left_out(odd: object) -> None:
    edited = msgspec.structs.replace(HOLDOUT, figures=HOLDOUT.figures | {"calibration_observed": odd})
    assert not marks(drawn(edited), "dot", "dot plain") and marks(drawn(edited), "rect", "bar good")


def test_a_first_version_has_no_gain() -> None:
    picture = drawn(FIRST)
    assert len(marks(picture, "rect", "bar good")) == 1
    assert not marks(picture, "dot", "hollow")
    assert picture.height < drawn(HOLDOUT).height


def test_an_interval_that_no_bound_has_is_drawn_alone() -> None:
    picture = drawn(without(FIRST, "min", "max_drop"))
    assert not marks(picture, "line", "bound") and not marks(picture, "rect", "zone")


def test_bad_shares_stand_against_the_margin() -> None:
    edge = marks(drawn(TRAFFIC), "line", "bound")[0].a
    (share,) = [bar for bar in marks(drawn(TRAFFIC), "rect", "bar good") if bar.b < 60]
    assert LEFT + share.c < edge
    bad = marks(drawn(BAD_TRAFFIC), "rect", "bar bad")[0]
    assert LEFT + bad.c > marks(drawn(BAD_TRAFFIC), "line", "bound")[0].a
    assert "1.16 %: incumbent + 1 %" in texts(drawn(TRAFFIC))


def test_evidence_that_decides_reaches_its_mark() -> None:
    worse, harmless = (shape for shape in drawn(TRAFFIC).shapes if shape.kind == "rect" and shape.b > 100)
    edge = marks(drawn(TRAFFIC), "line", "bound")[-1].a
    assert LEFT + worse.c < edge < LEFT + harmless.c
    assert (worse.style, harmless.style) == ("bar plain", "bar good")


def test_a_feature_that_moved_passes_the_warning() -> None:
    (moved,) = marks(drawn(DRIFT), "rect", "bar warn")
    assert LEFT + moved.c > marks(drawn(DRIFT), "line", "bound")[0].a
    assert len(marks(drawn(DRIFT), "rect", "bar plain")) == 4


def test_values_of_prometheus_stand_below_their_maximum() -> None:
    (bar,) = marks(drawn(PROMETHEUS), "rect", "bar good")
    assert bar.a + bar.c < marks(drawn(PROMETHEUS), "line", "bound")[0].a


def test_a_time_stands_among_those_of_other_attempts() -> None:
    picture = picture_of(READY, [attempt(n, slower(n)) for n in range(3)])
    assert picture and len(marks(picture, "dot", "faint")) == 3
    assert "3 other attempts took 2 to 2.5 seconds" in picture.description


@pytest.mark.parametrize("check", [HTTP, COMMAND, without(AGREEMENT, "share_low"), without(READY, "ready_seconds")])
def test_without_the_figures_there_is_no_picture(check: CheckResult) -> None:
    assert picture_of(check) is None


@pytest.mark.parametrize("check", [*EVERY, LOSS, BAD_TRAFFIC], ids=lambda check: check.name)
def test_every_figure_that_is_no_number_is_left_out(check: CheckResult) -> None:
    """Whatever a record holds, a picture is drawn from the rest, or there is none."""
    for name in check.figures:
        for odd in ("text", None, [1, 2], float("inf"), float("nan"), 1e300, -1e14, True):
            picture = picture_of(msgspec.structs.replace(check, figures=check.figures | {name: odd}))
            for shape in picture.shapes if picture else ():
                assert all(-1 <= place <= 1000 for place in shape[2:6]), (name, odd, shape)


def test_a_trend_has_a_point_for_each_attempt() -> None:
    metric, ready = [
        picture for picture in trends_of(HISTORY) if "loss" not in picture.title and "f1" not in picture.title
    ]
    assert metric.title == "roc_auc by attempt" and ready.title == "seconds until ready by attempt"
    with_metric = [a for a in HISTORY if any(check.name == "holdout roc_auc" for check in a.checks)]
    assert len([s for s in metric.shapes if s.kind == "dot"]) == len(with_metric)
    assert len([s for s in ready.shapes if s.kind == "dot"]) == len(HISTORY)
    assert metric.description.endswith(f"{HISTORY[0].version} 0.7123")


def test_one_attempt_is_no_trend() -> None:
    assert trends_of(HISTORY[:1]) == []
