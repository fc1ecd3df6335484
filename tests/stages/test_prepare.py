"""The prepare stage: rows are joined once and split without overlap, without columns that are known too late."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pandas as pd
import pytest

from gitops_ml.errors import InputError
from gitops_ml.stages.params import Join, Prepare, RandomSplit, TargetExpression, TimeSplit
from gitops_ml.stages.prepare import join, prepare, split_at_random, split_by_time
from gitops_ml.stages.tables import read_table

TOO_LATE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}


def run(params: Prepare, raw: Path, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    prepare(params, raw, out / "train.parquet", out / "holdout.parquet")
    return pd.read_parquet(out / "train.parquet"), pd.read_parquet(out / "holdout.parquet")


def test_the_worked_example_holds_out_the_newest_month(prepare_params: Prepare, raw: Path, tmp_path: Path) -> None:
    train, holdout = run(prepare_params, raw, tmp_path)
    assert (train["day"].min(), train["day"].max()) == ("2013-01-01", "2013-02-07")
    assert sorted(holdout["day"].unique()) == [f"2013-03-0{day}" for day in range(1, 8)]
    assert train["time_hour"].max() < holdout["time_hour"].min()
    assert not TOO_LATE & set(train.columns)
    assert train["late"].dtype == "int64"
    assert set(train["late"]) == {0, 1}


def test_each_flight_is_joined_with_the_weather_of_its_origin_and_hour(
    prepare_params: Prepare, raw: Path, tmp_path: Path
) -> None:
    _, holdout = run(prepare_params, raw, tmp_path)
    weather = read_table(raw, "weather").set_index(["origin", "time_hour"])
    flight = holdout[holdout["temp"].notna()].iloc[100]
    assert flight["temp"] == weather.loc[(flight["origin"], flight["time_hour"]), "temp"]
    flights = read_table(raw, "flights")
    arrived = flights[flights["arr_delay"].notna() & (flights["time_hour"] >= holdout["time_hour"].min())]
    assert len(arrived) == len(holdout)


def test_equal_rows_give_equal_bytes(prepare_params: Prepare, raw: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(prepare_params, raw, tmp_path / name)
    for file in ("train.parquet", "holdout.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_cut_may_be_any_month_and_later_rows_are_left_out(
    prepare_params: Prepare, raw: Path, tmp_path: Path
) -> None:
    split = TimeSplit(column="time_hour", cut="2013-02", timezone="America/New_York")
    train, holdout = run(msgspec.structs.replace(prepare_params, split=split), raw, tmp_path)
    assert train["day"].max() == "2013-01-07"
    assert (holdout["day"].min(), holdout["day"].max()) == ("2013-02-01", "2013-02-07")


def test_a_cut_is_midnight_in_its_time_zone() -> None:
    at = pd.to_datetime(["2013-02-01T04:59:00Z", "2013-02-01T05:00:00Z"], utc=True)
    train, holdout = split_by_time(
        pd.DataFrame({"at": at}), TimeSplit(column="at", cut="newest", timezone="America/New_York")
    )
    assert (train["at"].tolist(), holdout["at"].tolist()) == ([at[0]], [at[1]])


def test_a_random_split_is_the_same_for_a_seed_and_keeps_groups_whole() -> None:
    frame = pd.DataFrame({"day": [number % 10 for number in range(200)]})
    train, holdout = split_at_random(frame, RandomSplit(holdout=0.3, seed=1), "day")
    assert len(set(holdout["day"])) == 3
    assert not set(train["day"]) & set(holdout["day"])
    again = split_at_random(frame, RandomSplit(holdout=0.3, seed=1), "day")
    assert again[1].equals(holdout)
    rows = split_at_random(frame, RandomSplit(holdout=0.3, seed=1), None)
    assert [len(side) for side in rows] == [140, 60]


def test_a_join_never_repeats_rows() -> None:
    frame, twice = pd.DataFrame({"k": [1], "x": [1]}), pd.DataFrame({"k": [1, 1], "y": [1, 2]})
    with pytest.raises(InputError, match="more than once"):
        join(frame, twice, Join(table="other", by=["k"]))
    with pytest.raises(InputError, match="no column z"):
        join(frame, twice, Join(table="other", by=["k"], columns=["z"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"derive": {"day": "no_such_column + 1"}}, r"prepare\.derive\.day cannot be computed"),
        ({"filters": ["arr_delay >"]}, r"prepare\.filters\[0\] cannot be computed"),
        ({"target": TargetExpression(name="late", expression="nothing > 1")}, r"prepare\.target cannot be computed"),
        ({"features": ["carrier", "altitude"]}, "no column altitude"),
        ({"group": "week"}, "'week' is not kept"),
        ({"split": TimeSplit(column="carrier")}, "is not a time column"),
        ({"split": TimeSplit(column="time_hour", cut="spring")}, "is not a month"),
        ({"split": TimeSplit(column="time_hour", cut="2012-01")}, "train.parquet would have no rows"),
        ({"split": TimeSplit(column="time_hour", cut="2014-01")}, "holdout.parquet would have no rows"),
        ({"filters": ["distance < 0"]}, "would have no rows"),
        ({"table": "boats"}, "'boats' was not collected"),
    ],
)
def test_mistakes_are_refused(
    prepare_params: Prepare, raw: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(msgspec.structs.replace(prepare_params, **changes), raw, tmp_path)
