"""YAML that DVC or other people wrote: read as DVC reads it, and bounded whatever the text is."""

from __future__ import annotations

import datetime
import math
import time
from typing import Any

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.clients.files.yaml_data import MAX_ALIASED, MAX_DEPTH, load
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.errors import InputError
from tests.effort import examples

SCALARS = [
    *("no", "on", "yes", "off", "y", "12:30", "12:30:45", "true", "True", "FALSE", "null", "~", "", "NULL", "nULL"),
    *("010", "0o17", "0x1F", "0b11", "-7", "+7", "1_000", "1e5", "1.5", "-.5", ".inf", "-.INF", ".nan", "1.", "0.1e-3"),
    *(
        "v1.0.0",
        "1.2.3",
        "a b",
        "'no'",
        '"on"',
        "!!str 12",
        "!!int '12'",
        "<",
        "2013-05",
        "1e",
        "0b12",
        "0o9",
        "_1",
    ),
]


def as_dvc(text: str) -> Any:
    return parse_yaml(text, "dvc.yaml")


def same(one: Any, other: Any) -> bool:
    """Whether two documents are equal, with NaN equal to itself and dates as text."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [str(key) for key in other] == list(one) and all(map(same, one.values(), other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(other, datetime.date):
        return isinstance(one, str)
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("scalar", SCALARS)
def test_scalars_are_what_dvc_takes_them_for(scalar: str) -> None:
    text = f"outs:\n- {scalar}\n"
    assert same(load(text.encode(), "dvc.yaml"), as_dvc(text)), (load(text.encode(), "dvc.yaml"), as_dvc(text))


@pytest.mark.parametrize("name", ["no", "on", "12:30", "yes"])
def test_a_key_is_its_text(name: str) -> None:
    assert load(f"{name}: 1\n".encode(), "dvc.yaml") == as_dvc(f"{name}: 1\n") == {name: 1}


def test_aliases_and_merge_keys_are_read_as_dvc_reads_them() -> None:
    text = (
        "base: &base {wdir: a, cmd: x}\n"
        "more: &more {cmd: y, deps: [&d z, *d]}\n"
        "one: {<<: *base, cmd: own}\n"
        "two:\n  <<: [*more, *base]\n  outs: *d\n"
    )
    read, expected = load(text.encode(), "dvc.yaml"), as_dvc(text)
    assert read == expected
    assert read["two"] == {"wdir": "a", "cmd": "y", "deps": ["z", "z"], "outs": "z"}


@given(st.text(alphabet="ab:{}[]&*!-?|>'\"\n #,1.~<%@`", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        load(text.encode(), "dvc.yaml")
    except InputError as error:
        assert error.what.startswith("dvc.yaml")


LEAVES = st.one_of(st.integers(), st.text(alphabet="abnoxyz0:. -", max_size=6), st.booleans(), st.none())
KEYS = st.text("abcno", min_size=1)
DATA = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner))


@settings(max_examples=examples(40))  # DVC's writer takes most of the time
@given(st.dictionaries(KEYS, DATA, min_size=1, max_size=4))
def test_what_dvc_writes_is_read_back(data: dict[str, Any]) -> None:
    text = dumps_yaml(data)
    assert load(text.encode(), "dvc.lock") == data


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("stages: " + "[" * 200_000, "nested too deep", id="lists"),
        pytest.param("{a: " * 200_000, "nested too deep", id="mappings"),
        pytest.param("".join(f"{' ' * n}a:\n" for n in range(400)), "nested too deep", id="blocks"),
        pytest.param("a: &a [*a]\n", r"\*a names nothing above it", id="an alias inside what it names"),
        pytest.param("a: *b\n", r"\*b names nothing above it", id="an alias without anchor"),
        pytest.param("a: {<<: [1]}\n", "merges what is no mapping", id="merge"),
        pytest.param("a: 1\na: 2\n", "dvc.lock:2 says `a` twice", id="a key twice"),
        pytest.param("? [a]\n: 1\n", "a key that is not plain text", id="a list as key"),
        pytest.param("a: !!python/object:os.system {}\n", "dvc.lock:1 has the tag", id="tag"),
        pytest.param("a: !!set {x}\n", "dvc.lock:1 has the tag", id="set"),
        pytest.param("a: 1\n---\nb: 2\n", "another document", id="two documents"),
        pytest.param("a: \0\n", "not valid YAML", id="NUL"),
        pytest.param("a: " + "1" * 5000, "is not a number", id="a number without end"),
    ],
)
def test_what_would_end_the_process_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load(text.encode(), "dvc.lock")


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    begun = time.monotonic()
    with pytest.raises(InputError, match="expands to too much") as caught:
        load("\n".join(lines).encode(), "dvc.yaml")
    assert str(MAX_ALIASED) in caught.value.why
    assert time.monotonic() - begun < 5


def test_aliases_do_not_nest_deeper_than_text_may() -> None:
    deep = "[" * (MAX_DEPTH - 2) + "x" + "]" * (MAX_DEPTH - 2)
    with pytest.raises(InputError, match="nested too deep"):
        load(f"a: &a {deep}\nb: {{c: {{d: *a}}}}\n".encode(), "dvc.yaml")


def test_an_edit_reads_as_dvc_does() -> None:
    text = "train:\n  until: 2013-05-01  # the first\n  paths: [no, 'on']\n  depth: 010\n"
    assert get_field(text, "train.until") == "2013-05-01"
    assert get_field(text, "train.paths") == ["no", "on"]
    edited = set_fields(text, {"train.until": "2013-06-01", "train.paths": ["no", "off"]})
    assert get_field(edited, "train.until") == "2013-06-01"
    assert get_field(edited, "train.paths") == ["no", "off"]
    assert "depth: 010\n" in edited and "# the first" in edited
    assert set_fields(text, {"train.depth": 10}) == text
