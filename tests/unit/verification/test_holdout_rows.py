"""Held-out files are read into requests, labels, groups and times; errors name what is wrong."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from gitops_ml.artifacts.manifest import Manifest, Target, Tensor, Training
from gitops_ml.clients.rows.holdout import Rows, labelled, load_rows, requests
from gitops_ml.core.declaration.checks import Bound, Holdout
from gitops_ml.errors import InputError

SPEC = Holdout(data="data/holdout.parquet", group="day", metrics={"roc_auc": Bound(min=0.5)})


def _manifest(**datatypes: str) -> Manifest:
    chosen = datatypes or {"distance": "FP64", "carrier": "BYTES", "hour": "INT64"}
    return Manifest(
        name="flight-delay",
        task="classification",
        classes=(0, 1),
        inputs=tuple(Tensor(name=name, datatype=datatype) for name, datatype in chosen.items()),
        target=Target(name="late", positive=1),
        training=Training(time_column="time_hour"),
    )


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "distance": [1.5, np.nan, 3.0],
            "carrier": pd.Categorical(["UA", None, "AA"]),
            "hour": [5, 6, 7],
            "late": [0, 1, 0],
            "day": ["2013-09-01", "2013-09-01", "2013-09-02"],
            "time_hour": pd.to_datetime(["2013-09-01T05", "2013-09-01T06", "2013-09-02T07"]).tz_localize(
                "America/New_York"
            ),
        }
    )


def _parquet(frame: pd.DataFrame) -> Rows:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return load_rows(buffer.getvalue(), "data/holdout.parquet")


def _data(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{tensor["name"]: (tensor["datatype"], tensor["data"]) for tensor in body["inputs"]} for body in bodies]


@pytest.mark.parametrize("text", [False, True])
def test_rows_become_requests_in_batches(text: bool) -> None:
    csv = _frame().to_csv(index=False).encode()
    rows = load_rows(csv, "holdout.csv") if text else _parquet(_frame())
    assert _data(requests(rows, _manifest(), batch_rows=2)) == [
        {"distance": ("FP64", [1.5, None]), "carrier": ("BYTES", ["UA", None]), "hour": ("INT64", [5, 6])},
        {"distance": ("FP64", [3.0]), "carrier": ("BYTES", ["AA"]), "hour": ("INT64", [7])},
    ]
    assert requests(rows, _manifest())[0]["inputs"][0]["shape"] == [3]


def test_a_matrix_input_is_built_from_columns() -> None:
    rows = _parquet(pd.DataFrame({"x": [[1.0, 2.0], [3.0, float("nan")]]}))
    manifest = Manifest(name="m", task="regression", inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 2)),))
    (body,) = requests(rows, manifest)
    assert body["inputs"][0]["shape"] == [2, 2] and body["inputs"][0]["data"] == [1.0, 2.0, 3.0, None]


@pytest.mark.parametrize("text", [False, True])
def test_labels_groups_and_times_are_read(text: bool) -> None:
    frame = _frame()
    frame["time_hour"] = (
        frame["time_hour"].dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ") if text else frame["time_hour"]
    )
    labelled_rows = labelled(_parquet(frame), SPEC, _manifest())
    assert labelled_rows.labels.tolist() == [0, 1, 0]
    assert labelled_rows.groups is not None and labelled_rows.groups.tolist() == [
        "2013-09-01",
        "2013-09-01",
        "2013-09-02",
    ]
    assert labelled_rows.times is not None
    assert labelled_rows.times[0] == np.datetime64(datetime(2013, 9, 1, 9, tzinfo=UTC).replace(tzinfo=None))


@pytest.mark.parametrize(
    ("datatypes", "says"),
    [
        ({"distance": "FP64", "wind": "FP64", "hours": "FP64"}, "has no column `wind`, `hours`"),
        ({"carrier": "FP64"}, "column `carrier` of `data/holdout.parquet` does not fit the model's FP64"),
        ({"distance": "INT64"}, "does not fit the model's INT64"),
    ],
)
def test_wrong_columns_are_errors(datatypes: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        requests(_parquet(_frame()), _manifest(**datatypes))


def test_missing_values_that_a_tensor_cannot_hold_are_errors() -> None:
    frame = _frame().assign(distance=[1.0, np.nan, 2.0])
    with pytest.raises(InputError, match="has 1 missing values"):
        requests(_parquet(frame), _manifest(distance="INT64"))


@pytest.mark.parametrize(
    ("change", "spec", "says"),
    [
        (
            {},
            Holdout(data="x", metrics={}, label="delayed"),
            "has no column `delayed`: the declaration names it as the label",
        ),
        ({}, Holdout(data="x", metrics={}, group="days"), "the nearest is `day`"),
        ({"late": [0, None, 1]}, SPEC, "column `late` of `data/holdout.parquet` has 1 missing values"),
        ({"time_hour": ["yesterday", "today", "now"]}, SPEC, "holds no times"),
    ],
)
def test_wrong_labels_are_errors(change: dict[str, Any], spec: Holdout, says: str) -> None:
    with pytest.raises(InputError, match=says):
        labelled(_parquet(_frame().assign(**change)), spec, _manifest())


@pytest.mark.parametrize(
    ("data", "name", "says"),
    [
        (b"not parquet", "a.parquet", "cannot be read"),
        (b"", "a.csv", "cannot be read"),
        (b"a,b\n", "a.csv", "holds no rows"),
        (b"a\n\xff\n", "a.csv", "cannot be read"),
        (b"", "a.xlsx", "write it as .parquet or .csv"),
    ],
)
def test_unreadable_files_are_errors(data: bytes, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_rows(data, name)


def test_a_limit_takes_the_same_rows_each_time() -> None:
    csv = ("a\n" + "\n".join(map(str, range(1000)))).encode()
    first, again = (load_rows(csv, "a.csv", limit=50).table.column("a").to_pylist() for _ in range(2))
    assert first == again == sorted(first, key=int) and len(first) == 50
    assert load_rows(csv, "a.csv", limit=5000).of == 1000 == len(load_rows(csv, "a.csv", limit=5000))


TEXTS = ["01067", "True", "1.10", "1e5", "12345678901234567890123", "2024-01-01 05:00", "NA", " a ", "line\nline"]


def test_text_of_a_csv_file_stays_as_it_is() -> None:
    """Guessed types turned a model that is right on every row into a failed one."""
    for text in TEXTS:  # one at a time: a column of such texts only is what is taken for something else
        csv = pd.DataFrame({"code": [text, text], "late": [0, 1]}).to_csv(index=False).encode()
        (body,) = requests(load_rows(csv, "a.csv"), _manifest(code="BYTES"))
        assert body["inputs"][0]["data"] == [text, text]
    (body,) = requests(load_rows(b'code,late\n,0\nNA,1\n"",0\n', "a.CSV"), _manifest(code="BYTES"))
    assert body["inputs"][0]["data"] == [None, "NA", ""]


@pytest.mark.parametrize(
    ("datatype", "text", "value"),
    [
        ("FP64", ["1.5", " 2 ", "1e5", "+3", "NA", "nan", "", "inf"], [1.5, 2.0, 1e5, 3.0, None, None, None, None]),
        ("FP64", ["true", "False"], [1.0, 0.0]),
        ("INT64", ["5.0", "+6", "007"], [5, 6, 7]),
        ("BOOL", ["True", "false", "1", "0"], [True, False, True, False]),
    ],
)
def test_numbers_of_a_csv_file_are_read_as_the_manifest_says(datatype: str, text: list[str], value: list[Any]) -> None:
    csv = ("x,other\n" + "".join(f"{item},1\n" for item in text)).encode()
    (body,) = requests(load_rows(csv, "a.csv"), _manifest(x=datatype))
    assert body["inputs"][0]["data"] == value


@pytest.mark.parametrize(("datatype", "text"), [("FP64", "one"), ("INT64", "1.5"), ("BOOL", "2"), ("UINT8", "256")])
def test_text_that_is_no_such_value_is_an_error_with_the_column(datatype: str, text: str) -> None:
    with pytest.raises(InputError, match=f"column `x` of `a.csv` does not fit the model's {datatype}"):
        requests(load_rows(f"x\n{text}\n".encode(), "a.csv"), _manifest(x=datatype))


@pytest.mark.parametrize(
    ("classes", "text", "labels"),
    [
        (("01", "02"), ["01", "02"], ["01", "02"]),
        (("false", "true"), ["true", "false"], ["true", "false"]),
        (("1.1", "1.10"), ["1.10", "1.1"], ["1.10", "1.1"]),
        (("NA", "null"), ["NA", "null"], ["NA", "null"]),
        ((False, True), ["True", "false"], [1, 0]),
        ((0, 1), ["true", "0"], [1, 0]),
        ((0.5, 1.5), ["1.5", "0.5"], [1.5, 0.5]),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_labels_are_read_as_the_manifests_classes(
    classes: tuple[Any, ...], text: list[str], labels: list[Any], name: str
) -> None:
    frame, buffer = pd.DataFrame({"late": text}), io.BytesIO()
    frame.to_parquet(buffer)
    data = frame.to_csv(index=False).encode() if name == "a.csv" else buffer.getvalue()
    manifest = msgspec.structs.replace(_manifest(), classes=classes, target=None)
    spec = Holdout(data=name, label="late", metrics={})
    assert labelled(load_rows(data, name), spec, manifest).labels.tolist() == labels


def test_labels_that_are_no_numbers_are_an_error_with_the_column() -> None:
    spec, manifest = Holdout(data="a.csv", metrics={}), _manifest()
    with pytest.raises(InputError, match=r"column `late` of `a\.csv` does not fit the model's labels"):
        labelled(load_rows(b"late\nyes\nno\n", "a.csv"), spec, manifest)


def test_times_and_groups_of_a_csv_file_are_read() -> None:
    csv = b"late,day,time_hour\n0,01,2013-09-01 05:00:00+02:00\n1,1,2013-09-01 06:00:00+02:00\n"
    rows = labelled(load_rows(csv, "a.csv"), SPEC, _manifest())
    assert rows.groups is not None and rows.groups.tolist() == ["01", "1"]
    assert rows.times is not None and rows.times[0] == np.datetime64("2013-09-01T03:00")


def test_two_columns_of_one_name_are_an_error() -> None:
    rows = load_rows(b"x,x,late\n1,2,0\n", "a.csv")
    assert labelled(rows, Holdout(data="a.csv", metrics={}), _manifest()).labels.tolist() == [0]
    with pytest.raises(InputError, match="has 2 columns `x`"):
        requests(rows, _manifest(x="FP64"))
