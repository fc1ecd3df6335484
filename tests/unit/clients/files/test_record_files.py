"""A record file is never larger than what is read, and never loses what serves or what was verified."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.clients.files.records import read_record, write_record
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES
from gitops_ml.core.journal.fold import fold_entries
from gitops_ml.core.journal.state import KEPT_ATTEMPTS
from gitops_ml.core.records.record import Record, updated
from gitops_ml.core.text import clean, clean_line
from gitops_ml.core.verification.verdict import CheckResult
from tests.unit.builders import NAME, generation
from tests.unit.journals import failed, promoted

V1, V2 = generation("v1"), generation("v2")


def record(*, logs: str = "", reason: str = "worse", checks: int = 1, attempts: int = KEPT_ATTEMPTS) -> Record:
    """A record of so many attempts, each failed with these logs and checks."""
    one = updated(None, fold_entries([*promoted(V1), *failed(V2, V1)]).of(NAME), NAME, "engine-1")
    results = tuple(CheckResult(name=f"check-{n}", result="fail", reason=reason) for n in range(checks))
    bad = msgspec.structs.replace(one.attempts[0], logs=(logs,) if logs else (), checks=results)
    kept = [msgspec.structs.replace(bad, id=f"attempt-{n:02}") for n in range(attempts)]
    return msgspec.structs.replace(one, attempts=tuple(reversed(kept)))


def test_a_record_that_fits_stays_whole() -> None:
    whole = record(logs="x" * 500)
    assert read_record(write_record(whole), "r.yaml") == whole


@pytest.mark.parametrize("text", ["x" * 50_000, "é" * 50_000, "\U0001f600" * 10_000, "a: b\n" * 5000])
def test_the_oldest_logs_go_first(text: str) -> None:
    content = write_record(record(logs=text))
    read = read_record(content, "r.yaml")
    assert len(content) <= MAX_BYTES and read
    assert len(read.attempts) == KEPT_ATTEMPTS
    with_logs = [bool(attempt.logs) for attempt in read.attempts]
    assert with_logs[0] and with_logs == sorted(with_logs, reverse=True)
    assert read.serving and read.verified


def test_then_the_oldest_checks_and_attempts() -> None:
    content = write_record(record(reason="x" * 2000, checks=12))
    read = read_record(content, "r.yaml")
    assert len(content) <= MAX_BYTES and read
    assert len(read.attempts) == KEPT_ATTEMPTS and read.attempts[0].checks
    content = write_record(record(reason="x" * 2000, checks=140, attempts=2))
    read = read_record(content, "r.yaml")
    assert len(content) <= MAX_BYTES and read
    assert read.serving and read.verified and len(read.attempts) == 2


@given(st.text(max_size=300), st.text(max_size=2000), st.integers(0, 200), st.integers(0, KEPT_ATTEMPTS))
def test_any_record_is_written_small_enough_and_read_again(logs: str, reason: str, checks: int, attempts: int) -> None:
    whole = record(logs=clean(logs, 500), reason=clean_line(reason), checks=checks, attempts=attempts)
    content = write_record(whole)
    read = read_record(content, "r.yaml")
    assert len(content) <= MAX_BYTES and read
    assert (read.serving, read.verified) == (whole.serving, whole.verified)
    assert [a.id for a in read.attempts] == [a.id for a in whole.attempts]


@given(st.binary(max_size=200) | st.text(alphabet="schema:1\n -[]{}&*'\"|>!#,abc", max_size=200).map(str.encode))
def test_any_bytes_are_a_record_or_none(data: bytes) -> None:
    read_record(data, "r.yaml")


WHOLE = write_record(record(logs="x", attempts=2))


@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.binary(max_size=6))
def test_a_damaged_record_is_a_record_or_none(at: int, cut: int, put: bytes) -> None:
    """A merge conflict, a half written file, an editor's mistake."""
    read_record(WHOLE[:at] + put + WHOLE[at + cut :], "r.yaml")
