"""Reading the files of a model: everything wrong with them is a `ModelRejected` that names file, key and reason."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.artifacts.manifest import MAX_MANIFEST_BYTES, Manifest, Tensor, class_name, parse_manifest
from gitops_ml.artifacts.model_files import MAX_BYTES, MAX_DEPTH, parse_example, read_model_files
from gitops_ml.artifacts.requirements import pins
from gitops_ml.errors import ModelRejected

MANIFEST: dict[str, Any] = {
    "schema": 1,
    "name": "churn",
    "format": "skops",
    "file": "model.skops",
    "task": "classification",
    "classes": [0, 1],
    "inputs": [{"name": "age", "datatype": "FP64", "shape": [-1]}],
    "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1]}],
    "training": {"time_column": "at", "from": "2013-01-01T00:00:00Z", "to": "2013-02-01T00:00:00+01:00", "rows": 9},
    "target": {"name": "churned", "positive": 1},
}
EXAMPLE: dict[str, Any] = {"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [40.5]}]}
AGE = MANIFEST["inputs"][0]


def manifest(**changes: Any) -> bytes:
    return json.dumps(MANIFEST | changes).encode()


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def example_with_data(data: bytes) -> bytes:
    return b'{"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": %b}]}' % data


def test_the_files_of_a_model_are_read_into_types() -> None:
    files = {
        "manifest.json": manifest(),
        "example.json": json.dumps(EXAMPLE | {"id": "a"}).encode(),
        "reference.json": b"{}",
        "requirements.txt": b"numpy==2.0",
        "model.skops": b"\0",
    }
    model = read_model_files(files)
    assert (model.manifest.name, model.manifest.positive) == ("churn", 1)
    assert model.example == EXAMPLE | {"id": "a"}
    assert (model.reference, model.requirements) == (b"{}", b"numpy==2.0")


def test_all_files_but_the_manifest_are_optional() -> None:
    model = read_model_files({"manifest.json": manifest()})
    assert (model.example, model.reference, model.requirements) == (None, None, b"")
    with pytest.raises(ModelRejected, match=r"no manifest\.json: it has model\.pkl"):
        read_model_files({"model.pkl": b""})


def test_keys_of_a_newer_train_stage_are_ignored() -> None:
    """What judging needs is still there, so such a model can be judged."""
    newer = manifest(schema=2, format="lightgbm", colour="red", inputs=[AGE | {"unit": "years"}])
    assert parse_manifest(newer).inputs == (Tensor(name="age", datatype="FP64"),)


BROKEN_MANIFESTS = {
    "empty": (b"", "truncated"),
    "not JSON": (b"{", "truncated"),
    "not UTF-8": (b'{"name": "\xff"}', "utf-8"),
    "deeply nested": (b'{"extra": ' + nested(100_000) + b"}", "recursion"),
    "a list": (b"[]", "Expected `object`, got `array`"),
    "NaN": (manifest().replace(b"40", b"NaN").replace(b'"rows": 9', b'"rows": NaN'), "malformed"),
    "wrong type": (manifest(classes="no"), r"at `\$\.classes`"),
    "no task of ours": (manifest(task="ranking"), "ranking"),
    "a missing key": (json.dumps({"name": "churn"}).encode(), "missing required field `inputs`"),
    "no inputs": (manifest(inputs=[]), "`inputs` is empty"),
    "a tensor twice": (manifest(inputs=[AGE, AGE]), "`inputs` has two tensors named 'age'"),
    "an output twice": (manifest(outputs=[AGE, AGE]), "`outputs` has two tensors named 'age'"),
    "no shape": (manifest(inputs=[AGE | {"shape": []}]), r"`inputs` has no `shape` for 'age'"),
    "an unknown positive class": (manifest(target={"name": "y", "positive": 7}), r"not among `classes` \(0, 1\)"),
    "a positive class of none": (manifest(classes=None), r"not among `classes` \(none\)"),
    "no time": (manifest(training={"from": "May", "to": "2013-02-01"}), r"`training\.from` is 'May'"),
    "no time on earth": (manifest(training={"from": "0001-01-01T00:00:00+14:00"}), r"`training\.from`"),
    "too large": (b" " * (MAX_MANIFEST_BYTES + 1), "bytes"),
}


@pytest.mark.parametrize(("content", "reason"), BROKEN_MANIFESTS.values(), ids=BROKEN_MANIFESTS)
def test_a_broken_manifest_rejects_the_model(content: bytes, reason: str) -> None:
    with pytest.raises(ModelRejected, match=reason) as error:
        read_model_files({"manifest.json": content})
    assert error.value.what == "the model's manifest.json is broken"
    assert error.value.fix
    assert len(error.value.why) <= 1000


def test_all_contradictions_of_a_manifest_are_in_one_message() -> None:
    with pytest.raises(ModelRejected) as error:
        parse_manifest(manifest(inputs=[], outputs=[AGE, AGE], target={"name": "y", "positive": "yes"}))
    assert error.value.why == (
        "`inputs` is empty; `outputs` has two tensors named 'age'; "
        "`target.positive` is 'yes', which is not among `classes` (0, 1)"
    )


@pytest.mark.parametrize(
    ("positive", "classes"), [(1, [False, True]), (True, [0, 1]), (1.0, [0, 1]), ("1", [0, 1]), (None, None)]
)
def test_a_positive_class_may_be_written_in_another_type(positive: Any, classes: Any) -> None:
    target = {"name": "y", "positive": positive}
    assert parse_manifest(manifest(target=target, classes=classes)).classes == (classes and tuple(classes))


BROKEN_EXAMPLES = {
    "not JSON": (b"{", "truncated"),
    "not UTF-8": (b'{"inputs": "\xff"}', "utf-8"),
    "deeply nested": (example_with_data(nested(100_000)), "recursion"),
    "nested": (example_with_data(nested(MAX_DEPTH)), f"more than {MAX_DEPTH} levels"),
    "rows": (b'{"rows": 1}', "missing required field `inputs`"),
    "no inputs": (b'{"inputs": []}', "`inputs` is empty"),
    "a list": (b"[1]", "Expected `object`"),
    "null": (b"null", "Expected `object`"),
    "inputs of a wrong type": (b'{"inputs": [1]}', r"\$\.inputs\[0\]"),
    "a shape of a wrong type": (example_with_data(b"[1]").replace(b"[1], ", b'"[1]", ', 1), r"\.shape`"),
    "no rows": (example_with_data(b"[]").replace(b"[1]", b"[0]", 1), r"`inputs\[0\]\.shape` is \[0\]"),
    "an empty shape": (example_with_data(b"[]").replace(b"[1]", b"[]", 1), r"`inputs\[0\]\.shape` is \[\]"),
    "data of a wrong type": (example_with_data(b'"1"'), r"\.data`"),
    "NaN": (example_with_data(b"[NaN]"), "malformed"),
    "a number out of range": (example_with_data(b"[1e999]"), "out of range"),
    "too large": (example_with_data(b"1" * MAX_BYTES["example.json"]), "bytes"),
}


@pytest.mark.parametrize(("content", "reason"), BROKEN_EXAMPLES.values(), ids=BROKEN_EXAMPLES)
def test_a_broken_example_rejects_the_model(content: bytes, reason: str) -> None:
    with pytest.raises(ModelRejected, match=reason) as error:
        read_model_files({"manifest.json": manifest(), "example.json": content})
    assert error.value.what == "the model's example.json is broken"


@pytest.mark.parametrize("name", ["reference.json", "requirements.txt"])
def test_a_file_that_is_too_large_rejects_the_model(name: str) -> None:
    with pytest.raises(ModelRejected, match=name):
        read_model_files({"manifest.json": manifest(), name: b" " * (MAX_BYTES[name] + 1)})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(MANIFEST)), JSON)
def test_any_value_of_a_manifests_key_is_read_or_rejected(key: str, value: Any) -> None:
    try:
        model = parse_manifest(manifest(**{key: value}))
    except ModelRejected:
        return
    assert model.trained is None or model.trained[0].tzinfo
    assert model.positive is None or not model.classes or class_name(model.positive)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps({"inputs": value}).encode()))
def test_any_bytes_of_an_example_are_read_or_rejected(content: bytes) -> None:
    try:
        request = parse_example(content)
    except ModelRejected:
        return
    assert request["inputs"][0]["shape"][0] >= 1


def test_a_manifest_that_is_written_is_read_back() -> None:
    written = Manifest(schema=1, name="a", format="onnx", inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 2)),))
    assert parse_manifest(msgspec.json.encode(written)) == written


def test_pins_are_by_normalized_name() -> None:
    text = (
        "# made by uv\nScikit_Learn==1.7.2 \\\n    --hash=sha256:00\nzope.interface==6.0; python_version > '3'\nx>=1\n"
    )
    assert pins(text) == {"scikit-learn": "1.7.2", "zope-interface": "6.0"}
