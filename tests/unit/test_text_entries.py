"""Text of models, logs, engines and teams' checks is clean wherever it enters, whatever it holds."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable

import msgspec
import pytest

from gitops_ml.cli import render
from gitops_ml.clients.engine.address import Address
from gitops_ml.clients.engine.errors import failed, unavailable
from gitops_ml.clients.gateway.probing.probe import parse_results
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.checks.model import answers_in
from gitops_ml.control.checks.rejected import rejected
from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, PrometheusCheck
from gitops_ml.core.journal.entries import Cleared, Judged
from gitops_ml.core.journal.fold import Entry, Reviewed, encode, fold_entries
from gitops_ml.core.text import first_line
from gitops_ml.core.verification.own_checks import CheckSubject, judge_command, judge_http, judge_prometheus
from gitops_ml.core.verification.probe_result import TargetResult, read_results
from gitops_ml.core.verification.verdict import CheckResult, clean_check
from gitops_ml.errors import ModelRejected
from tests.unit.builders import generation
from tests.unit.journals import promoted

NASTY = "bad\n\nGitops-ML-Attempt: forged\0\ud800\x1b[31m\x1b]0;t\x07\u2028\u202e\x9b2J " + "x" * 100_000
SUBJECT = CheckSubject(environment="dev", deployment="churn", version="v1", generation="1" * 12, endpoint="http://h")


def lines_of(text: str) -> list[str]:
    """The lines of a text, which must be encodable, bounded, and without any control character."""
    text.encode()
    assert len(text) < 20_000
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t"]
    assert "\u202e" not in text
    return text.splitlines()


def own(judged: CheckResult) -> str:
    return clean_check(judged).reason


def raised(work: Callable[[], object]) -> str:
    with pytest.raises(ModelRejected) as caught:
        work()
    return str(rejected(caught.value).reason)


ONE_LINE: dict[str, Callable[[str], str]] = {
    "a server's error": lambda text: str(read_results({"a": {"error": text}})["a"].error),
    "a server's error in the smoke check": lambda text: str(
        getattr(read_results({"a": {"smoke": {"ok": False, "seconds": 0.1, "error": text}}})["a"].smoke, "error", None)
    ),
    "a server's answer of another form": lambda text: raised(lambda: read_results({"a": {"ready": text}})),
    "the name of an output": lambda text: next(iter(read_results({"a": {"outputs": [{text: [1]}]}})["a"].outputs[0])),
    "a probe's malformed result": lambda text: parse_results(
        json.dumps({"targets": {"a": {"ready": text}}}).encode(), ["a"]
    )["a"]["error"],
    "an unforeseen error": lambda text: first_line(as_gitops_error(ValueError(text), "dev/churn")),
    "a rejected model": lambda text: rejected(ModelRejected("bad", why=text)).reason,
    "an answer that was refused": lambda text: answers_in(TargetResult(error=text), None).reason,  # type: ignore[union-attr]
    "an engine's error": lambda text: failed("creating", text).why,
    "an engine that is gone": lambda text: unavailable(Address("unix:///x", "engine:"), text).why,
    "a page": lambda text: own(judge_http(HttpCheck(name="a", url="http://h", contains=text), 200, "", SUBJECT)),
    "an answer of Prometheus": lambda text: own(
        judge_prometheus(
            PrometheusCheck(name="a", url="http://h", query="q", max=1), {"status": "error", "error": text}
        )
    ),
    "the labels of a series": lambda text: own(
        judge_prometheus(
            PrometheusCheck(name="a", url="http://h", query="q", max=1),
            {
                "status": "success",
                "data": {
                    "resultType": "vector",
                    "result": [{"metric": {"a": text}, "value": [0, "2"]}, {"metric": {}, "value": [0, "3"]}],
                },
            },
        )
    ),
    "a command's output": lambda text: own(judge_command(CommandCheck(name="a", run=("x",)), 1, text)),
    "a figure": lambda text: str(
        clean_check(CheckResult(name="a", result="fail", reason="", figures={"answer": text})).figures["answer"]
    ),
    "the name of a figure": lambda text: next(
        iter(clean_check(CheckResult(name="a", result="fail", reason="", figures={text: 1})).figures)
    ),
}


@pytest.mark.parametrize("place", ONE_LINE)
def test_text_is_one_clean_line_where_it_enters(place: str, caplog: pytest.LogCaptureFixture) -> None:
    # pytest-xdist cannot send a report whose captured log holds a lone surrogate.
    with caplog.at_level(logging.CRITICAL + 1, "gitops_ml"):
        assert len(lines_of(ONE_LINE[place](NASTY))) <= 1


def entries_with(text: str) -> list[Entry]:
    check = CheckResult(name=text, result="fail", reason=text, figures={text: text})
    attempt = fold_entries(promoted(generation("v1"))).of("churn").attempts[-1]
    return [
        Judged(at="x", attempt="a", deployment="churn", verdict="Failed", checks=(check,), logs=text),
        Cleared(at="x", attempt="a", deployment="churn", checks=(check,)),
        Reviewed(at="x", attempt=msgspec.structs.replace(attempt, checks=(check,), logs=text)),
    ]


@pytest.mark.parametrize("entry", entries_with(NASTY), ids=lambda entry: type(entry).__name__)
def test_every_entry_of_the_journal_is_clean(entry: Entry) -> None:
    content = encode(entry)

    def walk(value: object) -> None:
        if isinstance(value, str):
            lines_of(value)
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(key)
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(json.loads(content))


def test_every_kind_of_entry_that_holds_checks_or_logs_is_among_those_that_are_cleaned() -> None:
    """A new kind with text from outside has to be cleaned too."""
    kinds = msgspec.inspect.type_info(Entry)
    assert isinstance(kinds, msgspec.inspect.UnionType)
    outside = {"checks", "logs", "attempt"}
    holding = {
        kind.cls.__name__
        for kind in kinds.types
        if isinstance(kind, msgspec.inspect.StructType)
        for field in kind.fields
        if (field.name in outside and not isinstance(field.type, msgspec.inspect.StrType)) or field.name == "logs"
    }
    assert holding == {type(entry).__name__ for entry in entries_with("")}


def test_what_leaves_is_clean_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    render.progress(NASTY[:500])
    render.out(NASTY[:500])
    printed = capsys.readouterr()
    lines_of(printed.out + printed.err)
