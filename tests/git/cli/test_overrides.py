"""`promote --override REASON`: against which rules it goes, what the commit says, and who reads that later."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gitops_ml.errors import GitopsError
from tests.git.cli_clone import (
    V1,
    V2,
    answer,
    attempt,
    cli,
    clone,
    declaration,
    generation,
    publish,
    put_record,
    with_model,
    write,
)
from tests.git.conftest import git

PROD = "environments/prod/models/churn.yaml"
STAGING = "environments/staging/models/churn.yaml"
PROMOTE = ("promote", "churn", "--to", "prod")
REASON = "CVE-2026-1: the old one leaks"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return clone(tmp_path)


def judged(work: Path, *, age: timedelta = timedelta(hours=2), verdict: str = "Verified") -> None:
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=age, verdict=verdict))


def soaking(work: Path) -> None:
    judged(work, age=timedelta(minutes=5))


def unverified(work: Path) -> None:
    judged(work, verdict="Unverified")


def served_otherwise(work: Path) -> None:
    judged(work)
    image = f"registry/churn@sha256:{'0' * 64}"
    write(work, PROD, declaration("v1.0.0", V1) + f"serve: {{pattern: image, image: '{image}', port: 80}}\n")
    publish(work, "Serve churn by an image")


def digest_of_model(work: Path) -> str:
    return str(json.loads(cli(work, "versions", "churn", "-o", "json").stdout)["versions"][0]["digest"])


def refusal(work: Path, *words: str) -> str:
    done = cli(work, *words)
    assert isinstance(done.exception, GitopsError), done.output
    return str(done.exception)


@pytest.mark.parametrize(
    ("prepare", "rule"),
    [
        (soaking, "v2.0.0 must stay Verified in staging for 5"),
        (unverified, "staging/churn v2.0.0 is not Verified: its last verdict there is Unverified"),
        (served_otherwise, "serve.pattern is image, and service in staging: a verdict on one runtime says nothing"),
    ],
)
def test_a_rule_is_overridden_with_a_reason_that_the_commit_keeps(
    work: Path, prepare: Callable[[Path], None], rule: str
) -> None:
    prepare(work)
    head = git(work, "rev-parse", "HEAD")
    refused = refusal(work, *PROMOTE, "--push")
    assert rule in refused and refused.endswith("or gitops-ml promote churn --to prod --override REASON")
    assert git(work, "rev-parse", "HEAD") == head and git(work, "status", "--porcelain") == ""
    said = answer(work, *PROMOTE, "--push", "--override", REASON)
    assert said["version"] == "v2.0.0" and [each for each in said["overridden"] if rule in each]
    body = git(work, "log", "-1", "--format=%b")
    assert body.startswith("Overridden: ") and rule in body
    assert git(work, "log", "-1", "--format=%(trailers:key=Gitops-ML-Override,valueonly)").strip() == REASON


def test_what_never_served_there_is_taken_as_it_is_declared_there(tmp_path: Path) -> None:
    work = with_model(tmp_path)
    write(work, STAGING, "schema: 1\nmodel: churn\nversion: v2.0.0\n")
    publish(work, "Pin nothing")
    said = answer(work, *PROMOTE, "--override", REASON)
    assert said["version"] == "v2.0.0" and said["digest"].startswith("md5:")
    (work / STAGING).unlink()
    publish(work, "Withdraw it")
    assert "staging/churn is not declared" in refusal(work, *PROMOTE, "--override", REASON)


def test_an_override_that_nothing_asked_for_is_not_recorded(work: Path) -> None:
    judged(work)
    done = cli(work, *PROMOTE, "--push", "--override", REASON)
    assert "nothing was overridden" in done.stderr
    assert "It stands Verified in staging" in git(work, "log", "-1", "--format=%b")


@pytest.mark.parametrize("reason", ["", "  ", "\x1b[31m\x1b[0m"])
def test_a_reason_has_words(work: Path, reason: str) -> None:
    soaking(work)
    assert "--override gives no reason" in refusal(work, *PROMOTE, "--override", reason)


def test_a_reason_stays_one_line(work: Path) -> None:
    soaking(work)
    answer(work, *PROMOTE, "--commit", "--override", "a\nSigned-off-by: Eve <eve@example.org>")
    assert git(work, "log", "-1", "--format=%(trailers:key=Signed-off-by,valueonly)").strip() == ""


def test_another_model_is_never_promoted(work: Path) -> None:
    judged(work)
    write(work, PROD, declaration("v1.0.0", V1).replace("model: churn", "model: fraud"))
    assert "declares the model fraud" in refusal(work, *PROMOTE, "--override", REASON)


def test_files_of_serving_that_changed_since_are_another_runtime(tmp_path: Path) -> None:
    work = with_model(tmp_path)
    write(work, "serving/churn/manifest.json", "{}\n")
    write(work, "serving/churn/requirements.txt", "numpy==2.0.0\n")
    commit = publish(work, "Say what churn needs")
    serving = generation("v2.0.0", digest_of_model(work), commit)
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2)))
    write(work, STAGING, declaration(serving.version, serving.digest))
    publish(work, "Pin what it is")
    answer(work, *PROMOTE)
    git(work, "checkout", "-q", "--", PROD)
    write(work, "serving/churn/requirements.txt", "numpy==2.1.0\n")
    publish(work, "Need another numpy")
    refused = refusal(work, *PROMOTE)
    assert "serving/churn has changed since v2.0.0 was judged in staging" in refused and commit[:12] in refused
    answer(work, *PROMOTE, "--override", REASON)


def test_history_and_the_pull_request_show_it(tmp_path: Path) -> None:
    work = with_model(tmp_path)
    digest = digest_of_model(work)
    judging = generation("v2.0.0", digest, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", judging, attempt(judging, age=timedelta(minutes=5)))
    base = git(work, "rev-parse", "HEAD")
    promoted = answer(work, *PROMOTE, "--push", "--override", REASON)["commit"]
    text = cli(work, "plan", "-o", "markdown", "--base", base).stdout
    assert "prod/churn is promoted against the rules, by --override" in text and "CVE-2026-1" in text
    serving = generation("v2.0.0", digest, promoted)
    first = generation("v1.0.0", V1, base)
    put_record(work, "prod", serving, attempt(serving, age=timedelta()), attempt(first, age=timedelta(hours=2)))
    shown = cli(work, "history", "prod", "churn").stdout
    assert shown.count("promoted by override") == 1 and f"promoted by override: {REASON}" in shown
    told = json.loads(cli(work, "history", "prod", "churn", "-o", "json").stdout)
    assert told["overrides"] == {attempt(serving, age=timedelta()).id: REASON}


def test_an_application_that_never_served_there_is_taken_with_its_image(tmp_path: Path) -> None:
    work = with_model(tmp_path)
    digest = digest_of_model(work)

    def declared(version: str, image: str) -> str:
        asked = "request: {path: /score, body: {rows: '${rows}'}}, response: {predict: labels}"
        serve = f"serve: {{pattern: image, image: '{image}', port: 80, {asked}}}\n"
        return f"schema: 1\nmodel: churn\nversion: {version}\ndigest: {digest}\n{serve}"

    old, new = (f"registry/churn@sha256:{digit * 64}" for digit in "12")
    write(work, STAGING, declared("v2.0.0", new))
    write(work, PROD, declared("v1.0.0", old))
    publish(work, "Serve churn by an application")
    answer(work, *PROMOTE, "--override", REASON)
    text = (work / PROD).read_text()
    assert new in text and old not in text and "version: v2.0.0" in text and digest in text
