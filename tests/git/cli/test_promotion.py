"""`promote` and `rollback` edit a declaration by what the records say, and never ask a host."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gitops_ml.errors import InputError, PushRejected
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
    write,
)
from tests.git.conftest import git

PROD = "environments/prod/models/churn.yaml"
STAGING = "environments/staging/models/churn.yaml"
LONG, SHORT = timedelta(hours=2), timedelta(minutes=5)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return clone(tmp_path)


def verified_in_staging(work: Path, age: timedelta = LONG) -> None:
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=age))


def error(work: Path, *words: str) -> str:
    done = cli(work, *words)
    assert isinstance(done.exception, InputError), done.output
    return str(done.exception)


def test_a_promotion_changes_version_and_digest_and_no_other_byte(work: Path) -> None:
    verified_in_staging(work)
    said = answer(work, "promote", "churn", "--to", "prod")
    assert (said["version"], said["digest"], said["before"], said["source"]) == ("v2.0.0", V2, "v1.0.0", "staging")
    assert (work / PROD).read_text() == declaration("v2.0.0", V2)
    assert said["commit"] is None
    assert git(work, "status", "--porcelain") == f"M {PROD}"


def test_a_pushed_promotion_is_one_commit_of_one_file_in_the_user_s_name(work: Path) -> None:
    verified_in_staging(work)
    write(work, "notes.txt", "mine")
    git(work, "add", "notes.txt")
    said = answer(work, "promote", "churn", "--to", "prod", "--push")
    assert git(work, "ls-remote", "origin", "main").split()[0] == said["commit"]
    assert git(work, "show", "--format=%an%n%B", "--name-only", "HEAD").splitlines() == [
        "Ada",
        "Promote churn in prod from v1.0.0 to v2.0.0",
        "",
        f"It stands Verified in staging, as commit {git(work, 'rev-parse', 'HEAD~2')[:12]} declared it.",
        "",
        "",
        PROD,
    ]
    assert git(work, "status", "--porcelain") == "A  notes.txt"


def test_a_branch_is_made_for_a_pull_request(work: Path) -> None:
    verified_in_staging(work)
    said = answer(work, "promote", "churn", "--to", "prod", "--branch", "promote-churn", "--push")
    assert said["branch"] == "promote-churn"
    assert git(work, "ls-remote", "origin", "promote-churn").split()[0] == said["commit"]
    assert git(work, "ls-remote", "origin", "main").split()[0] != said["commit"]


def test_a_promotion_that_is_declared_already_makes_no_commit(work: Path) -> None:
    verified_in_staging(work)
    answer(work, "promote", "churn", "--to", "prod", "--commit")
    head = git(work, "rev-parse", "HEAD")
    done = cli(work, "promote", "churn", "--to", "prod", "--commit")
    assert done.stdout == f"{PROD} says so already, and is not pushed\n"
    assert git(work, "rev-parse", "HEAD") == head


def test_what_was_never_judged_there_is_not_promoted(work: Path) -> None:
    assert error(work, "promote", "churn", "--to", "prod") == (
        "staging/churn has nothing to promote: it has no record\n"
        "  fix: gitops-ml sync staging; or gitops-ml promote churn --to prod --override REASON"
    )


@pytest.mark.parametrize("verdict", ["Unverified", "Inconclusive"])
def test_what_serves_there_without_being_verified_is_not_promoted(work: Path, verdict: str) -> None:
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=LONG, verdict=verdict))
    assert f"staging/churn v2.0.0 is not Verified: its last verdict there is {verdict}" in error(
        work, "promote", "churn", "--to", "prod"
    )


def test_a_version_has_to_soak(work: Path) -> None:
    verified_in_staging(work, SHORT)
    said = error(work, "promote", "churn", "--to", "prod")
    assert said.startswith(
        ("v2.0.0 must stay Verified in staging for 55 m more", "v2.0.0 must stay Verified in staging for 54 m")
    )
    assert "promotion.soak is 1 h" in said
    assert git(work, "status", "--porcelain") == ""


def test_without_the_engine_s_clock_ours_is_taken_and_that_is_said(work: Path) -> None:
    verified_in_staging(work)
    assert (
        "warning: the soak is measured by this machine's clock" in cli(work, "promote", "churn", "--to", "prod").stderr
    )


def test_a_failed_candidate_takes_nothing_from_what_stands(work: Path) -> None:
    head = git(work, "rev-parse", "HEAD")
    standing, failed = generation("v2.0.0", V2, head), generation("v3.0.0", f"md5:{'3' * 32}", head)
    put_record(
        work,
        "staging",
        standing,
        attempt(failed, age=SHORT, outcome="failed", verdict="Failed"),
        attempt(standing, age=LONG),
    )
    assert answer(work, "promote", "churn", "--to", "prod")["version"] == "v2.0.0"


def test_nothing_is_promoted_where_no_environment_comes_before(work: Path) -> None:
    assert "nothing is promoted into staging" in error(work, "promote", "churn", "--to", "staging")


def test_a_first_promotion_copies_the_declaration_without_its_hold(work: Path) -> None:
    (work / PROD).unlink()
    write(work, STAGING, declaration("v2.0.0", V2) + "hold: {reason: fair week}\n")
    publish(work, "Hold churn in staging, and withdraw it from prod")
    verified_in_staging(work)
    assert "--create" in error(work, "promote", "churn", "--to", "prod")
    answer(work, "promote", "churn", "--to", "prod", "--create")
    assert (work / PROD).read_text() == declaration("v2.0.0", V2)


def test_another_model_is_not_promoted(work: Path) -> None:
    write(work, PROD, declaration("v1.0.0", V1).replace("model: churn", "model: fraud"))
    verified_in_staging(work)
    assert f"{PROD} declares the model fraud" in error(work, "promote", "churn", "--to", "prod")


def test_a_push_that_is_refused_is_said_and_keeps_the_commit(work: Path, tmp_path: Path) -> None:
    verified_in_staging(work)
    hook = tmp_path / "remote.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho main is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    done = cli(work, "promote", "churn", "--to", "prod", "--push")
    assert isinstance(done.exception, PushRejected)
    assert "main is protected" in str(done.exception)
    assert git(work, "log", "-1", "--format=%s") == "Promote churn in prod from v1.0.0 to v2.0.0"


# --- rollback


def two_verified_in_prod(work: Path) -> None:
    """v1 with one environment variable, then v2 with another; v2 is declared and serves."""
    first = publish_prod(work, declaration("v1.0.0", V1), "v1")
    second = publish_prod(
        work, declaration("v2.0.0", V2).replace("info", "debug").replace("replicas: 2", "replicas: 3")
    )
    old, new = generation("v1.0.0", V1, first), generation("v2.0.0", V2, second)
    put_record(work, "prod", new, attempt(new, age=SHORT), attempt(old, age=LONG))


def publish_prod(work: Path, text: str, message: str = "Declare") -> str:
    write(work, PROD, text + "# one more line\n")
    return publish(work, message)


def test_a_rollback_restores_what_a_generation_is_made_of_and_nothing_else(work: Path) -> None:
    two_verified_in_prod(work)
    said = answer(work, "rollback", "prod", "churn", "--commit")
    assert (said["version"], said["digest"], said["before"]) == ("v1.0.0", V1, "v2.0.0")
    # The variable goes back with the version; replicas are no part of a generation.
    expected = declaration("v1.0.0", V1).replace("replicas: 2", "replicas: 3") + "# one more line\n"
    assert (work / PROD).read_text() == expected
    assert git(work, "log", "-1", "--format=%s") == "Roll churn in prod back from v2.0.0 to v1.0.0"


def test_a_rollback_passes_over_what_failed_since(work: Path) -> None:
    first = publish_prod(work, declaration("v1.0.0", V1))
    second = publish_prod(work, declaration("v2.0.0", V2))
    old, new = generation("v1.0.0", V1, first), generation("v2.0.0", V2, second)
    again = attempt(old, age=timedelta(minutes=1), outcome="failed", verdict="Failed")
    put_record(work, "prod", new, again, attempt(new, age=SHORT), attempt(old, age=LONG))
    assert "prod/churn has nothing to go back to: Verified there, newest first: v2.0.0" in error(
        work, "rollback", "prod", "churn"
    )


def test_a_rollback_to_what_was_never_verified_here_is_refused(work: Path) -> None:
    two_verified_in_prod(work)
    assert "prod/churn has no Verified v0.9.0: Verified there, newest first: v2.0.0, v1.0.0" in error(
        work, "rollback", "prod", "churn", "--to", "v0.9.0"
    )


def test_a_rollback_without_a_record_is_refused(work: Path) -> None:
    assert "prod/churn has nothing to go back to" in error(work, "rollback", "prod", "churn")


def test_a_rollback_is_the_same_one_until_it_is_at_the_remote(work: Path, tmp_path: Path) -> None:
    two_verified_in_prod(work)
    hook = tmp_path / "remote.git/hooks/pre-receive"
    answer(work, "rollback", "prod", "churn")
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert isinstance(cli(work, "rollback", "prod", "churn", "--push").exception, PushRejected)
    hook.unlink()
    said = answer(work, "rollback", "prod", "churn", "--push")
    assert (said["version"], said["before"], said["pushed"]) == ("v1.0.0", "v2.0.0", True)
    assert git(work, "log", "-1", "--format=%s", "origin/main") == "Roll churn in prod back from v2.0.0 to v1.0.0"
