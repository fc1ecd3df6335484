"""Edits of declarations change the fields that were asked for, and not one byte more."""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.errors import InputError

TEXT = """\
# head
schema: 1
model: flight-delay                  # a name
version: v1.2.0   # tag

replicas: 2
resources: {cpus: 1.0, memory: 512m} # gpus: reserved
env:   # the env
  # level
  LOG_LEVEL: info   # keep
  B: "2"

  # about C
  C: x
# before secrets
secrets: {API_KEY: /etc/churn/api_key}
serve:
  pattern: service
rollout:
  steps: [5, 25]
hold:
last: |
  text
  more
"""


def changed_lines(fields: dict[str, Any], text: str = TEXT) -> list[str]:
    """The lines that an edit removes and adds, as `difflib.ndiff` marks them."""
    edited = set_fields(text, fields)
    lines = difflib.ndiff(text.splitlines(), edited.splitlines())
    return [line for line in lines if line[0] in "+-"]


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        (
            {"version": "v1.3.0", "digest": "md5:" + "0" * 32},
            ["- version: v1.2.0   # tag", "+ version: v1.3.0   # tag", "+ digest: md5:" + "0" * 32],
        ),
        ({"replicas": 3}, ["- replicas: 2", "+ replicas: 3"]),
        ({"replicas": 2, "absent": None, "env.ABSENT": None}, []),
        (
            {"env": {"LOG_LEVEL": "debug", "C": "x", "D": "1"}},
            ["-   LOG_LEVEL: info   # keep", '-   B: "2"', "+   LOG_LEVEL: debug   # keep", "+   D: '1'"],
        ),
        ({"env.B": "3"}, ['-   B: "2"', '+   B: "3"']),
        (
            {"resources.memory": "1g"},
            [
                "- resources: {cpus: 1.0, memory: 512m} # gpus: reserved",
                "+ resources: {cpus: 1.0, memory: 1g} # gpus: reserved",
            ],
        ),
        (
            {"resources": {"cpus": 2.0}},
            [
                "- resources: {cpus: 1.0, memory: 512m} # gpus: reserved",
                "+ resources: {cpus: 2.0} # gpus: reserved",
            ],
        ),
        ({"serve.pattern": "image", "serve.port": 80}, ["-   pattern: service", "+   pattern: image", "+   port: 80"]),
        ({"serve": None}, ["- serve:", "-   pattern: service"]),
        ({"rollout.steps": None}, ["- rollout:", "-   steps: [5, 25]", "+ rollout: {}"]),
        ({"rollout.steps": (1, 2)}, ["-   steps: [5, 25]", "+   steps: [1, 2]"]),
        (
            {"hold": {"reason": "it's: fair", "until": datetime(2026, 12, 1, tzinfo=UTC)}},
            ["- hold:", "+ hold: {reason: 'it''s: fair', until: 2026-12-01T00:00:00Z}"],
        ),
        ({"hold.reason": "x"}, ["- hold:", "+ hold: {reason: x}"]),
        ({"last": None}, ["- last: |", "-   text", "-   more"]),
        ({"verify": {"holdout": {"data": "d"}}}, ["+ verify:", "+   holdout:", "+     data: d"]),
    ],
)
def test_an_edit_changes_only_the_fields_that_were_asked_for(fields: dict[str, Any], lines: list[str]) -> None:
    assert sorted(changed_lines(fields)) == sorted(lines)


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("a: 1", {"b": "2"}, "a: 1\nb: '2'\n"),
        ("a: 1\r\nc: 2\r\n", {"b": True}, "a: 1\r\nc: 2\r\nb: true\r\n"),
        ("a: 'x'  # c\n", {"a": "it's"}, "a: 'it''s'  # c\n"),
        ("a: 1\n", {"a": None}, ""),
        ("{a: 1, b: 2}\n", {"a": None, "c": 3}, "{b: 2, c: 3}\n"),
        ("a: {}\n", {"a.b": 1}, "a: {b: 1}\n"),
        ("a: [1,\n  2]  # two\nb: 1\n", {"a": [3]}, "a: [3]  # two\nb: 1\n"),
        ("a:\n- 1\n- 2\nb: 1\n", {"a": [3]}, "a: [3]\nb: 1\n"),
        ("a:\n- 1\n# b\nb: 1\n", {"a": None}, "# b\nb: 1\n"),
        ("a: >-\n  folded\n  text\n\n# b\nb: 1\n", {"a": "short"}, "a: short\n\n# b\nb: 1\n"),
        ("---\na: 1\n...\n", {"a": 2}, "---\na: 2\n...\n"),
        ("version: v1\ndigest: x\n", {"digest": "y"}, "version: v1\ndigest: y\n"),
        ("digest_of: 1\nversion: v1\nz: 1\n", {"digest": "y"}, "digest_of: 1\nversion: v1\ndigest: y\nz: 1\n"),
        ("version: 'v1'\n", {"version": "1.0"}, "version: '1.0'\n"),
        ("version: v1\n", {"version": "1.0"}, "version: '1.0'\n"),
        ("version: v1\n", {"version": "123e4567"}, "version: '123e4567'\n"),
        ("a: [x, y]\n", {"a": ["0o17", "no"]}, "a: ['0o17', 'no']\n"),
    ],
)
def test_an_edit_keeps_the_layout(text: str, fields: dict[str, Any], expected: str) -> None:
    assert set_fields(text, fields) == expected


@pytest.mark.parametrize("text", ["", "- 1\n", "text\n", "a: [\n", "a: *x\n"])
def test_a_text_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"dev/m\.yaml"):
        set_fields(text, {"a": 1}, "dev/m.yaml")


def test_an_unsafe_edit_is_left_to_a_person() -> None:
    with pytest.raises(InputError, match="by hand") as caught:
        set_fields("a: &x {k: 1}\nb: *x\n", {"a.k": 2})
    assert "set a.k to 2" in caught.value.fix


def test_reading_one_field() -> None:
    assert get_field(TEXT, "env.LOG_LEVEL") == "info"
    assert get_field(TEXT, "env.LOG_LEVEL.x") is None
    assert get_field(TEXT, "nothing") is None


VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text("ab: #'\"{}[],&*!|>%@-~1.\u00fc", max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["k", "l", "on", "1"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, min_size=1), VALUES, st.booleans(), st.booleans())
def test_any_value_at_any_key_reads_back(data: dict[str, Any], value: Any, flow: bool, new: bool) -> None:
    text = "# head\n" + yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True) + "# foot\n"
    key = "new" if new else next(iter(data))
    edited = set_fields(text, {key: value})
    assert yaml.safe_load(edited) == {**data, key: value}
    assert "# head" in edited and "# foot" in edited
