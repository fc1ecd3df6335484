"""Malformed and stale data stop the pipeline with an error that names the problem."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from gitops_ml.errors import InputError
from gitops_ml.stages.params import Column, Freshness, Table, Validate, load_section
from gitops_ml.stages.validate import check_freshness, check_table, validate

ROOT = Path(__file__).parents[2]
NEWEST = pd.Timestamp("2013-03-07T23:00:00Z")


@pytest.fixture
def params() -> Validate:
    section = load_section(ROOT / "params.yaml", Validate)
    tables = {name: msgspec.structs.replace(table, min_rows=1) for name, table in section.tables.items()}
    freshness = Freshness(table="flights", column="time_hour", max_age="7d", now="2013-03-09")
    return msgspec.structs.replace(section, tables=tables, freshness=freshness)


def test_real_rows_pass_and_their_number_is_reported(params: Validate, raw: Path, tmp_path: Path) -> None:
    summary = validate(params, raw, tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["tables"]["flights"]["rows"] > 15_000
    assert report["newest"] == {"flights": "2013-03-08T04:00:00+00:00"}
    assert "0.8 days old" in summary


def test_a_table_whose_source_stopped_is_stale(params: Validate, raw: Path, tmp_path: Path) -> None:
    assert params.freshness
    later = msgspec.structs.replace(params.freshness, now="2013-03-20")
    with pytest.raises(InputError, match=r"stale.*11\.8 days before 2013-03-20.*max_age is 7d") as caught:
        validate(msgspec.structs.replace(params, freshness=later), raw, tmp_path / "report.json")
    assert "ingest.until" in caught.value.fix
    assert not (tmp_path / "report.json").exists()


def test_freshness_is_judged_at_the_current_time_by_default() -> None:
    freshness = Freshness(table="t", column="at", max_age="1h")
    check_freshness(pd.Timestamp.now("UTC"), freshness)
    with pytest.raises(InputError, match="stale"):
        check_freshness(pd.Timestamp.now("UTC") - pd.Timedelta("2h"), freshness)


def test_a_row_from_the_future_is_refused() -> None:
    with pytest.raises(InputError, match="from the future"):
        check_freshness(NEWEST, Freshness(table="t", column="at", max_age="7d", now="2013-03-01"))


def test_an_unreadable_max_age_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be read"):
        check_freshness(NEWEST, Freshness(table="t", column="at", max_age="a while", now="2013-03-08"))


def test_a_table_without_times_is_refused() -> None:
    freshness = Freshness(table="t", column="at", max_age="7d", now="2013-03-08")
    with pytest.raises(InputError, match="table 't' has no at: no row has a value there"):
        check_freshness(pd.Timestamp(pd.Series([None, None], dtype="datetime64[ns, UTC]").max()), freshness)


def drop_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="carrier")


def add_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(dep_delay=1.0)


def put_text_into_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(distance=frame["distance"].astype(str))


def lose_values(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(dest=frame["dest"].mask(frame.index < 3))


def change_units(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(distance=frame["distance"] * 1609)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (drop_column, "carrier"),
        (add_column, "dep_delay"),
        (put_text_into_numbers, r"distance: dtype\('int64'\)"),
        (lose_values, "dest: not_nullable fails in 3"),
        (change_units, r"distance: less_than\(6000\)"),
    ],
)
def test_malformed_rows_are_refused_by_check(
    params: Validate, raw: Path, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    path = tmp_path / "raw" / "flights" / "2013-03.parquet"
    for month in (tmp_path / "raw" / "flights").iterdir():
        if month != path:
            month.unlink()
    spoil(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(InputError, match=message) as caught:
        validate(params, tmp_path / "raw", tmp_path / "report.json")
    assert "validate.tables.flights" in caught.value.what


def test_duplicates_and_too_few_rows_are_refused() -> None:
    frame = pd.DataFrame({"x": [1, 1]})
    with pytest.raises(InputError, match="unique"):
        check_table("t", frame, Table(columns={"x": Column(dtype="int64")}, unique=["x"]))
    with pytest.raises(InputError, match="has 2 rows"):
        check_table("t", frame, Table(columns={"x": Column()}, min_rows=3))


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(InputError, match="the check 'greater', which pandera does not have"):
        check_table("t", pd.DataFrame({"x": [1]}), Table(columns={"x": Column(checks={"greater": 1})}))
