"""The ingest stage: months arrive one by one, and earlier months keep their bytes."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from gitops_ml.errors import InputError
from gitops_ml.stages.ingest import ingest
from gitops_ml.stages.params import Ingest, Source
from gitops_ml.stages.tables import read_table


def digests(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): md5(path.read_bytes()).hexdigest() for path in directory.rglob("*.parquet")
    }


def test_earlier_months_keep_their_bytes_when_later_months_arrive(slice_params: Ingest, tmp_path: Path) -> None:
    ingest(msgspec.structs.replace(slice_params, until="2013-02"), tmp_path)
    before = digests(tmp_path)
    ingest(slice_params, tmp_path)
    after = digests(tmp_path)
    assert sorted(set(after) - set(before)) == ["flights/2013-03.parquet", "weather/2013-03.parquet"]
    assert before.items() <= after.items()


def test_months_beyond_a_lowered_until_are_removed(slice_params: Ingest, tmp_path: Path) -> None:
    ingest(slice_params, tmp_path)
    ingest(msgspec.structs.replace(slice_params, until="2013-01"), tmp_path)
    assert sorted(digests(tmp_path)) == ["flights/2013-01.parquet", "weather/2013-01.parquet"]


def test_months_begin_as_in_the_time_zone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("at,x\n2013-02-01T04:59:00Z,1\n2013-02-01T05:00:00Z,2\n")
    sources = {"t": Source(file=str(tmp_path / "t.csv"), time="at")}
    ingest(Ingest(sources=sources, timezone="America/New_York"), tmp_path / "raw")
    months = {path.stem: pd.read_parquet(path)["x"].tolist() for path in (tmp_path / "raw" / "t").iterdir()}
    assert months == {"2013-01": [1], "2013-02": [2]}


def test_files_of_a_glob_are_one_table_and_a_table_without_times_is_one_file(in_directory: Path) -> None:
    (in_directory / "a.csv").write_text("x,y\n1,2\n")
    pd.DataFrame({"x": [3], "y": [4]}).to_parquet(in_directory / "b.parquet")
    ingest(Ingest(sources={"t": Source(file="[ab].*", columns=["y"])}), Path("raw"))
    assert [path.name for path in Path("raw/t").iterdir()] == ["all.parquet"]
    assert read_table(Path("raw"), "t").to_dict("list") == {"y": [2, 4]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "none.csv"}, "source 't' has no file: nothing matches"),
        ({"package": "not_installed_anywhere"}, "not installed"),
        ({"sha256": "0" * 64}, "is not the file that params.yaml pins"),
        ({"columns": ["at", "z"]}, "has no column z: it has at, x"),
        ({"time": "x"}, "column 'x' is not a time"),
    ],
)
def test_bad_sources_are_refused(in_directory: Path, changes: dict[str, object], message: str) -> None:
    Path("t.csv").write_text("at,x\n2013-02-01T04:59:00Z,one\n")
    source = msgspec.convert({"file": "t.csv", "time": "at"} | changes, Source)
    with pytest.raises(InputError, match=message):
        ingest(Ingest(sources={"t": source}), Path("raw"))
    assert not Path("raw").exists()


@pytest.mark.parametrize(("until", "message"), [("2012-12", "no row up to 2012-12"), ("May", "is not a month")])
def test_a_bad_until_is_refused(slice_params: Ingest, tmp_path: Path, until: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ingest(msgspec.structs.replace(slice_params, until=until), tmp_path / "raw")
