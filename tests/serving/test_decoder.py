"""The decoder under generated input: it gives what was sent, or says what is wrong; nothing else leaves it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.serving.messages import NUMPY_TYPES, ProtocolError
from gitops_ml.serving.protocol import json_length, parse_request, read_columns, wanted_outputs

OUTPUTS = [Tensor(name="predict", datatype="INT64"), Tensor(name="predict_proba", datatype="FP64", shape=(-1, 2))]
DATATYPES = st.sampled_from([*NUMPY_TYPES, "BYTES"])
SPECS = st.lists(
    st.builds(lambda name, kind: Tensor(name=name, datatype=kind), st.text(max_size=5), DATATYPES),
    min_size=1,
    max_size=4,
    unique_by=lambda spec: spec.name,
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def decode(body: bytes, specs: list[Tensor], header: str | None = None) -> tuple[dict[str, Any], int] | None:
    """Columns and rows of a request; None if it was refused with a message."""
    try:
        request, binary = parse_request(body, json_length(header, len(body)))
        wanted = wanted_outputs(request, OUTPUTS)
        columns, rows = read_columns(request, binary, specs)
    except ProtocolError as error:
        assert str(error) and error.status == 400
        return None
    assert wanted and list(columns) == [spec.name for spec in specs]
    assert all(len(column) == rows > 0 for column in columns.values())
    return columns, rows


@st.composite
def tensors(draw: st.DrawFn) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """A model's inputs and tensors for them, of which some keys may be anything."""
    specs = draw(SPECS)
    inputs = []
    for spec in specs:
        tensor: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype}
        tensor["shape"] = draw(st.just([2]) | ANYTHING)
        tensor["data"] = draw(st.lists(values_of(spec.datatype), min_size=2, max_size=2) | ANYTHING)
        if draw(st.booleans()):
            tensor["parameters"] = draw(st.just({"binary_data_size": 8}) | ANYTHING)
        inputs.append(tensor)
    return specs, inputs


def values_of(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return st.none() | st.text(max_size=8)
    if datatype == "BOOL":
        return st.booleans()
    if datatype.startswith("FP"):
        return st.none() | st.floats(width=int(datatype[2:]), allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]
    limits = np.iinfo(np.zeros(0, NUMPY_TYPES[datatype]).dtype)
    return st.integers(int(limits.min), int(limits.max))


@given(SPECS, st.binary(max_size=200), st.none() | st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_bytes_that_are_no_request_are_refused(specs: list[Tensor], body: bytes, header: str | None) -> None:
    decode(body, specs, header)


@given(tensors(), ANYTHING, st.binary(max_size=40), st.integers(-4, 4))
@settings(max_examples=200, deadline=None)
def test_a_request_is_read_or_refused(
    made: tuple[list[Tensor], list[dict[str, Any]]], other: Any, binary: bytes, off: int
) -> None:
    specs, inputs = made
    head = json.dumps({"inputs": inputs, "outputs": other, "parameters": other, "id": other}).encode()
    decode(json.dumps({"inputs": inputs}).encode(), specs)
    decode(head + binary, specs, str(len(head) + off))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_what_was_sent_is_read(data: st.DataObject) -> None:
    specs, rows = data.draw(SPECS), data.draw(st.integers(1, 5))
    sent = {spec.name: data.draw(st.lists(values_of(spec.datatype), min_size=rows, max_size=rows)) for spec in specs}
    inputs = [
        {"name": spec.name, "datatype": spec.datatype, "shape": [rows, 1], "data": [[v] for v in sent[spec.name]]}
        if data.draw(st.booleans())
        else {"name": spec.name, "datatype": spec.datatype, "shape": [rows], "data": sent[spec.name]}
        for spec in specs
    ]
    read = decode(json.dumps({"inputs": data.draw(st.permutations(inputs))}).encode(), specs)
    assert read is not None
    for spec in specs:
        got = list(read[0][spec.name])
        assert len(got) == rows
        for value, wanted in zip(got, sent[spec.name], strict=True):
            missing = wanted is None and spec.datatype != "BYTES"
            assert math.isnan(value) if missing else value == wanted


@given(st.binary(max_size=60), st.integers(0, 6))
@settings(max_examples=150, deadline=None)
def test_binary_texts_are_read_or_refused(raw: bytes, rows: int) -> None:
    tensor = {"name": "t", "datatype": "BYTES", "shape": [rows], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    read = decode(head + raw, [Tensor(name="t", datatype="BYTES")], str(len(head)))
    if read is not None:
        again = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in read[0]["t"])
        assert again == raw
