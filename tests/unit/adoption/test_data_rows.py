"""Rows of data files are read as plain columns, without loading what a file may hide."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from gitops_ml.adoption.data_rows import ROWS, read_rows
from gitops_ml.errors import InputError

CSV = "id,age,city,member,seen\n1,4.5,Oslo,true,2024-01-02\n2,,Rome,false,2024-01-03\n3,6,,true,\n"


def written(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content)
    return folder / name


def test_a_csv_file_has_kinds_and_missing_values(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "a.csv", CSV), "a.csv")
    assert rows["id"] == {"kind": "integer", "data": [1, 2, 3]}
    assert rows["age"] == {"kind": "float", "data": [4.5, None, 6.0]}
    assert rows["city"] == {"kind": "text", "data": ["Oslo", "Rome", None]}
    assert rows["member"] == {"kind": "boolean", "data": [True, False, True]}
    assert rows["seen"] == {"kind": "text", "data": ["2024-01-02", "2024-01-03", None]}


def test_tabs_and_parquet_are_read_too(tmp_path: Path) -> None:
    tabs = read_rows(written(tmp_path, "a.tsv", CSV.replace(",", "\t")), "a.tsv")
    assert tabs == read_rows(written(tmp_path, "a.csv", CSV), "a.csv")
    table = pa.table({"age": pa.array([1.5, None]), "kind": pa.array(["a", "b"]).dictionary_encode()})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    rows = read_rows(tmp_path / "a.parquet", "a.parquet")
    assert rows == {"age": {"kind": "float", "data": [1.5, None]}, "kind": {"kind": "text", "data": ["a", "b"]}}


def test_only_the_first_rows_are_read(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, "a.csv", "n\n" + "\n".join(map(str, range(100_000)))), "a.csv")
    assert rows["n"]["data"] == list(range(ROWS))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", ""), ("a.csv", "a,b\n1\n2,3,4\n"), ("a.parquet", "no parquet"), ("a.pkl", "x"), ("a.csv", "\0\xff")],
)
def test_what_is_no_table_is_said_with_its_name(name: str, content: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=name):
        read_rows(written(tmp_path, name, content), f"data/{name}")
