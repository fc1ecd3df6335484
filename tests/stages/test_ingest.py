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


def test_the_time_column_is_kept_even_if_it_is_not_listed(in_directory: Path) -> None:
    Path("t.csv").write_text("at,x\n2013-02-01T04:59:00Z,1\n")
    ingest(Ingest(sources={"t": Source(file="t.csv", columns=["x"], time="at")}), Path("raw"))
    assert read_table(Path("raw"), "t").columns.tolist() == ["x", "at"]


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


def collect(text: str | dict[str, str], **source: object) -> dict[str, list[object]]:
    """Collect CSV files of these texts, by name; the columns, with None for missing values."""
    for name, content in ({"t.csv": text} if isinstance(text, str) else text).items():
        Path(name).write_text(content)
    ingest(Ingest(sources={"t": msgspec.convert({"file": "*.csv", **source}, Source)}), Path("raw"))
    frame = read_table(Path("raw"), "t")
    return {str(name): [None if pd.isna(value) else value for value in frame[name].astype(object)] for name in frame}


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("zip\n01067\n10115\n", "zip", "looks like numbers, and '01067' is none: as a number it would become 1067"),
        ('id\n12345678901234567\n""\n', "id", "'12345678901234567' is none: .* become 12345678901234568"),
        ("land\nDE\nNA\n", "land", "column 'land' is text and holds 'NA'"),
        ("land\nDE\nNone\n", "land", "column 'land' is text and holds 'None'"),
    ],
)
def test_a_guess_that_loses_something_is_refused(in_directory: Path, text: str, column: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        collect(text)
    assert f"types: {{{column}: text}}" in raised.value.fix
    values = text.replace('""', "").split("\n")[1:3]
    assert collect(text, types={column: "text"}) == {column: [value or None for value in values]}


def test_declared_types_are_kept(in_directory: Path) -> None:
    text = "code,amount,count,paid,land\n007,1.10,5.0,true,NA\n1e5,NA,+6,False,XX\n,,7,1,DE\n"
    types = {"code": "text", "amount": "number", "count": "integer", "paid": "boolean"}
    assert collect(text, types=types, missing={"land": ["XX"]}) == {
        "code": ["007", "1e5", None],
        "amount": [1.1, None, None],
        "count": [5, 6, 7],
        "paid": [True, False, True],
        "land": ["NA", None, "DE"],
    }
    assert pd.read_parquet("raw/t/all.parquet").dtypes.astype(str).to_dict() == {
        "code": "object",
        "amount": "float64",
        "count": "int64",
        "paid": "bool",
        "land": "object",
    }


def test_a_word_for_missing_leaves_a_column_numeric(in_directory: Path) -> None:
    assert collect("temp\n1.5\n-999\nM\nNA\n", missing={"temp": ["-999", "M"]}) == {"temp": [1.5, None, None, None]}


@pytest.mark.parametrize(
    ("text", "declared", "value"),
    [
        ("x\none\n", "number", "'one'"),
        ("x\ninf\n", "number", "'inf'"),
        ("x\n1.5\n", "integer", "'1.5'"),
        ("x\n1_000\n", "integer", "'1_000'"),
        ("x,y\n,1\n", "integer", "a missing value"),
        ("x\n2\n", "boolean", "'2'"),
    ],
)
def test_values_of_another_type_are_refused(in_directory: Path, text: str, declared: str, value: str) -> None:
    with pytest.raises(InputError, match=f"column 'x' holds {value}: ingest.sources.t.types says {declared}"):
        collect(text, types={"x": declared})


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("x\nA7\n", "column 'x' is a number in a.csv and text in b.csv"),
        ("x\ntrue\n", "column 'x' is a number in a.csv and boolean in b.csv"),
    ],
)
def test_a_column_that_changes_its_type_is_refused(in_directory: Path, second: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        collect({"a.csv": "x\n7\n", "b.csv": second})
    assert collect({}, types={"x": "text"}) == {"x": ["7", second.split()[1]]}
    pd.DataFrame({"x": [8.0, None]}).to_parquet("c.csv.parquet")
    assert collect({}, types={"x": "text"}, file="*") == {"x": ["7", second.split()[1], "8", None]}


def test_a_file_that_misses_a_value_everywhere_changes_no_type(in_directory: Path) -> None:
    assert collect({"a.csv": "x\n7\n", "b.csv": "x\nNA\n"}) == {"x": [7, None]}
    with pytest.raises(InputError, match="column 'x' is text and holds 'NA'"):
        collect({"a.csv": "x\nDE\n", "b.csv": "x\nNA\n"})


def test_files_of_one_name_in_two_folders_are_both_read(in_directory: Path) -> None:
    for number in (1, 2):
        Path(str(number)).mkdir()
        Path(f"{number}/t.csv").write_text(f"x\n{number}\n")
    assert collect({}, file="*/t.csv") == {"x": [1, 2]}


def test_a_row_with_more_fields_than_columns_is_refused(in_directory: Path) -> None:
    """pandas would take the first column for an index, and shift all others."""
    with pytest.raises(InputError, match="source 't' cannot be read"):
        collect("x,y\n1,2,3\n4,5,6\n")


def test_a_declared_column_must_exist(in_directory: Path) -> None:
    with pytest.raises(InputError, match="has no column zipcode"):
        collect("zip\n1\n", types={"zipcode": "text"})
