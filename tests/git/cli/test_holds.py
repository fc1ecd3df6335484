"""`hold` and `release` are edits of a declaration, with a reason that everybody reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitops_ml.errors import InputError
from tests.git.cli_clone import V1, answer, cli, clone, declaration
from tests.git.conftest import git

PROD = "environments/prod/models/churn.yaml"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return clone(tmp_path)


def error(work: Path, *words: str) -> str:
    done = cli(work, *words)
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


def test_a_hold_says_why_and_until_when(work: Path) -> None:
    done = cli(work, "hold", "prod", "churn", "--reason", "fair week", "--until", "2999-12-01T08:00+02:00", "--commit")
    assert done.exit_code == 0
    assert (work / PROD).read_text() == (
        declaration("v1.0.0", V1) + "hold:\n  reason: fair week\n  until: 2999-12-01T06:00:00Z\n"
    )
    assert git(work, "log", "-1", "--format=%B") == "Hold churn in prod until 2999-12-01 06:00 UTC\n\nfair week"


def test_the_length_of_a_hold_is_counted_from_now(work: Path) -> None:
    said = answer(work, "hold", "prod", "churn", "--reason", "fair week", "--for", "2h")
    end = datetime.fromisoformat(said["until"])
    assert abs(end - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)


def test_a_release_leaves_the_file_as_it_was_before_the_hold(work: Path) -> None:
    cli(work, "hold", "prod", "churn", "--reason", "fair week: 'stop'")
    cli(work, "hold", "prod", "churn", "--reason", "still", "--for", "3d")
    answer(work, "release", "prod", "churn")
    assert git(work, "status", "--porcelain") == ""


def test_a_release_of_what_is_not_held_changes_nothing(work: Path) -> None:
    assert cli(work, "release", "prod", "churn", "--commit").stdout == f"{PROD} says so already\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--reason", "x", "--until", "2020-01-01"), "is over already"),
        (("--reason", "x", "--until", "tomorrow"), "`tomorrow` is not a time"),
        (("--reason", "x", "--for", "two hours"), "`two hours` is not a duration"),
        (("--reason", "x", "--for", "1h", "--until", "2999-01-01"), "exclude each other"),
        (
            (
                "--reason",
                "  ",
            ),
            "a hold needs a reason",
        ),
    ],
)
def test_what_is_no_hold_changes_nothing(work: Path, options: tuple[str, ...], said: str) -> None:
    assert said in error(work, "hold", "prod", "churn", *options)
    assert git(work, "status", "--porcelain") == ""


def test_what_is_not_declared_cannot_be_held(work: Path) -> None:
    said = error(work, "hold", "prod", "chrun", "--reason", "x")
    assert "environments/prod/models/chrun.yaml does not exist: declared in prod: churn" in said


def test_a_declaration_that_is_broken_already_is_not_touched(work: Path) -> None:
    text = declaration("v1.0.0", V1) + "replica: 3\n"
    (work / PROD).write_text(text)
    assert "unknown key `replica`: did you mean `replicas`?" in error(work, "hold", "prod", "churn", "--reason", "x")
    assert (work / PROD).read_text() == text
