"""What a container says of a model is data: it ends as a problem of the model, or as typed facts."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.adoption.adopt import manifest_text
from gitops_ml.artifacts.manifest import parse_manifest
from gitops_ml.clients.engine.inspection import parse_inspection

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(["problems", "notes", "manifest", "example", "reference", "kind", "sample"])


@given(st.binary() | st.dictionaries(KEYS, JSON).map(lambda value: json.dumps(value).encode()))
def test_whatever_was_written_is_read_or_is_a_problem(content: bytes) -> None:
    inspection = parse_inspection(content)
    for text in (*inspection.notes, inspection.kind, *(str(error) for error in inspection.errors)):
        assert "\x1b" not in text and "\r" not in text


def test_texts_that_would_control_a_terminal_are_cleaned() -> None:
    said = {"notes": ["\x1b]0;owned\x07 fine"], "kind": "A\nB", "problems": [{"what": "\x1b[2Jgone", "fix": "x\ny"}]}
    inspection = parse_inspection(json.dumps(said).encode())
    (error,) = inspection.errors
    assert "\x1b" not in f"{inspection.notes}{inspection.kind}{error}" and "\n" not in inspection.kind


def test_a_manifest_is_written_without_what_no_key_takes() -> None:
    tensors = [{"name": "age", "datatype": "FP64"}]
    text = {"schema": 1, "name": "m", "inputs": tensors, "outputs": tensors, "evil": "x", "classes": None}
    written = json.loads(manifest_text(parse_manifest(json.dumps(text).encode())))
    assert "evil" not in written and "classes" not in written and written["inputs"][0]["shape"] == [-1]
