"""Records and reverts reach a real remote: as one push, or as two where records have a branch of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml

from gitops_ml.clients.files import recording
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.recording import Recording, record_verdicts
from gitops_ml.clients.files.records import read_record
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.journal.entries import Judged, Recorded
from gitops_ml.core.journal.fold import Entry, fold_entries
from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.records.record import record_path
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import InputError
from tests.git.conftest import commit_file, git
from tests.unit.builders import generation
from tests.unit.journals import failed, promoted

RECORDS = "gitops-ml/records"
DECLARATION = "environments/dev/models/churn.yaml"
RECORD = record_path("dev", "churn")
ENGINE = "engine-1"
FAILED = "attempt-churn-v2"
MD5 = "md5:" + "0" * 32


@dataclasses.dataclass
class Place:
    """A clone whose remote declares churn v2, which failed over v1."""

    folder: Path
    remote: Path
    repo: Repository
    entries: list[Entry]

    @property
    def state(self) -> EnvironmentState:
        return fold_entries(self.entries)

    def record_verdicts(self) -> Recording:
        return record_verdicts(self.repo, "dev", self.state, engine=ENGINE, same_generation=same_version)

    def declared(self) -> str:
        content = yaml.safe_load(git(self.remote, "show", f"main:{DECLARATION}"))
        return str(content["version"])

    def outcomes(self, branch: str) -> list[str]:
        """The outcomes of the recorded attempts, newest first."""
        record = read_record(git(self.remote, "show", f"{branch}:{RECORD}").encode(), RECORD)
        assert record is not None
        return [attempt.outcome for attempt in record.attempts]

    def message(self, branch: str) -> str:
        """The message of a branch's newest commit."""
        return git(self.remote, "log", "-1", "--format=%B", branch)

    def note(self, recorded: Recording) -> None:
        """Write into the journal what was recorded."""
        entry = Recorded(
            at="2026-11-23T09:00:00+00:00",
            attempts=recorded.attempts,
            commit=recorded.commit or "",
            unreverted=recorded.unreverted,
        )
        self.entries.append(entry)

    def hook(self, script: str) -> None:
        """Run a script on the remote for each ref ($1) before it moves; a failure refuses the push."""
        path = self.remote / "hooks" / "update"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def same_version(declared: EnvironmentFiles, attempt: Attempt) -> bool:
    return declared.deployments[attempt.deployment].version == attempt.generation.version


def protect(branch: str) -> str:
    return f"[ $1 = refs/heads/{branch} ] && echo '{branch} is protected' >&2 && exit 1; exit 0"


def make_place(tmp_path: Path, branch: str | None) -> Iterator[Place]:
    remote, folder = tmp_path / "remote.git", tmp_path / "clone"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(remote))
    git(tmp_path, "clone", "-q", str(remote), str(folder))
    records = f"records: {{branch: {branch}}}\n" if branch else ""
    commit_file(folder, "environments/project.yaml", "schema: 1\nname: shop\n")
    commit_file(folder, "environments/dev/environment.yaml", f"schema: 1\ngateway: {{port: 8081}}\n{records}")
    text = f"schema: 1\nmodel: churn\nversion: v1\ndigest: {MD5}\nreplicas: 2  # for the fair\n"
    verified = commit_file(folder, DECLARATION, text)
    tip = commit_file(folder, DECLARATION, text.replace("version: v1", "version: v2"))
    git(folder, "push", "-q", "-u", "origin", "main")
    v1 = msgspec.structs.replace(generation("v1"), commit=verified, digest=MD5)
    v2 = msgspec.structs.replace(generation("v2"), commit=tip)
    with Repository.open(folder) as repo:
        yield Place(folder, remote, repo, [*promoted(v1), *failed(v2, v1)[:-1]])


@pytest.fixture
def together(tmp_path: Path) -> Iterator[Place]:
    """Records and reverts go to one branch."""
    yield from make_place(tmp_path, None)


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Place]:
    """Records have a branch of their own."""
    yield from make_place(tmp_path, RECORDS)


def test_records_and_reverts_of_one_branch_are_one_commit(together: Place) -> None:
    before = git(together.remote, "rev-parse", "main")
    recorded = together.record_verdicts()
    assert (recorded.attempts, recorded.refused) == ((FAILED,), ())
    assert git(together.remote, "rev-parse", "main", "main^").split() == [recorded.commit, before]
    assert together.outcomes("main") == ["failed", "promoted"]
    assert together.declared() == "v1"
    assert "# for the fair" in git(together.remote, "show", f"main:{DECLARATION}")
    assert together.message("main").startswith("Record dev/churn v2: failed, reverted to v1\n")


def test_records_and_reverts_of_two_branches_are_two_commits(apart: Place) -> None:
    before = git(apart.remote, "rev-parse", "main")
    recorded = apart.record_verdicts()
    assert (recorded.attempts, recorded.refused) == ((FAILED,), ())
    assert git(apart.remote, "rev-parse", RECORDS) == recorded.commit
    assert git(apart.remote, "rev-parse", "main^") == before
    assert apart.outcomes(RECORDS) == ["failed", "promoted"]
    assert apart.declared() == "v1"
    assert apart.message("main") == (
        f"Revert dev/churn from v2 to v1\n\n- churn: smoke fail, it answers\n\nGitops-ML-Attempt: {FAILED}"
    )
    assert apart.message(RECORDS).startswith("Record dev/churn v2: failed, reverted to v1\n")


def test_a_protected_main_refuses_the_revert_and_not_the_record(apart: Place) -> None:
    apart.hook(protect("main"))
    recorded = apart.record_verdicts()
    assert recorded.attempts == (FAILED,)
    assert apart.outcomes(RECORDS) == ["failed", "promoted"]
    assert apart.message(RECORDS).startswith("Record dev/churn v2: failed\n"), "the revert is not claimed"
    (refused,) = recorded.refused
    assert refused.what == "main still declares churn v2 in dev, which failed"
    assert "main is protected" in refused.why
    assert "gitops-ml rollback dev churn" in refused.fix
    apart.note(recorded)
    assert apart.state.unrecorded == (), "the next pass has nothing to record"
    assert apart.declared() == "v2"


def test_a_refused_revert_is_pushed_by_a_later_pass_and_the_record_is_left(apart: Place) -> None:
    apart.hook(protect("main"))
    apart.note(apart.record_verdicts())
    commit = git(apart.remote, "rev-parse", RECORDS)
    again = apart.record_verdicts()
    assert (again.commit, again.attempts, again.unreverted) == (commit, (), (FAILED,))
    assert [error.what for error in again.refused] == ["main still declares churn v2 in dev, which failed"]
    apart.hook("exit 0")
    recorded = apart.record_verdicts()
    assert (recorded.refused, recorded.unreverted) == ((), ())
    assert apart.declared() == "v1"
    assert git(apart.remote, "rev-parse", RECORDS) == commit
    assert apart.message("main").startswith("Revert dev/churn from v2 to v1\n")
    apart.note(recorded)
    assert apart.state.unreverted == ()


def test_a_refused_revert_ends_when_a_person_changes_the_declaration(apart: Place) -> None:
    apart.hook(protect("main"))
    apart.note(apart.record_verdicts())
    apart.hook("exit 0")
    text = (apart.folder / DECLARATION).read_text().replace("version: v2", "version: v3")
    tip = commit_file(apart.folder, DECLARATION, text)
    git(apart.folder, "push", "-q")
    recorded = apart.record_verdicts()
    assert (recorded.refused, recorded.unreverted) == ((), ())
    assert git(apart.remote, "rev-parse", "main") == tip


def test_a_version_that_was_promoted_at_a_second_try_is_not_reverted(apart: Place) -> None:
    apart.entries += second_try(promoted(apart.state.unrecorded[0].generation)[:-1])
    assert set(apart.record_verdicts().attempts) == {FAILED, "again"}
    assert apart.declared() == "v2"


def test_a_protected_branch_of_records_does_not_hold_up_the_revert(apart: Place) -> None:
    apart.hook(protect(RECORDS))
    recorded = apart.record_verdicts()
    assert (recorded.commit, recorded.attempts) == (None, ())
    assert [error.why for error in recorded.refused if "is protected" in error.why]
    assert apart.declared() == "v1"
    apart.hook("exit 0")
    reverted = git(apart.remote, "rev-parse", "main")
    assert apart.record_verdicts().attempts == (FAILED,)
    assert apart.outcomes(RECORDS) == ["failed", "promoted"]
    assert git(apart.remote, "rev-parse", "main") == reverted, "the revert is pushed once"


def test_what_is_refused_together_is_published_by_a_later_pass(together: Place) -> None:
    together.hook(protect("main"))
    recorded = together.record_verdicts()
    assert recorded.commit is None and len(recorded.refused) == 1
    assert together.declared() == "v2"
    together.hook("exit 0")
    assert together.record_verdicts().attempts == (FAILED,)
    assert together.declared() == "v1"


def test_publishing_twice_changes_nothing(apart: Place) -> None:
    """A process can die between the push and the journal's entry."""
    first = apart.record_verdicts()
    before = git(apart.remote, "for-each-ref")
    assert apart.record_verdicts() == first
    assert git(apart.remote, "for-each-ref") == before


@pytest.mark.parametrize("branch", [None, RECORDS])
def test_an_attempt_stands_in_one_record_commit_whenever_the_process_died(tmp_path: Path, branch: str | None) -> None:
    for place in make_place(tmp_path, branch):
        place.record_verdicts()  # it arrived, and the journal does not say so
        place.entries += second_try(promoted(place.state.unrecorded[0].generation)[:-1])
        assert set(place.record_verdicts().attempts) == {FAILED, "again"}
        records = git(
            place.remote, "log", "--format=%(trailers:key=Gitops-ML-Attempt,valueonly)", branch or "main", "--", RECORD
        )
        assert records.split() == ["again", FAILED]
        assert place.message(branch or "main").startswith("Record dev/churn v2: verified\n")


def test_a_branch_of_records_that_was_deleted_is_begun_again(apart: Place) -> None:
    apart.record_verdicts()
    git(apart.folder, "fetch", "-q", "origin")
    assert git(apart.folder, "rev-parse", f"origin/{RECORDS}"), "the user's own ref names the branch"
    git(apart.remote, "update-ref", "-d", f"refs/heads/{RECORDS}")
    recorded = apart.record_verdicts()
    assert (recorded.attempts, recorded.refused) == ((FAILED,), ())
    assert git(apart.remote, "rev-parse", RECORDS) == recorded.commit
    assert apart.outcomes(RECORDS) == ["failed", "promoted"]


def test_a_declaration_that_a_person_has_changed_is_not_reverted(apart: Place) -> None:
    text = (apart.folder / DECLARATION).read_text().replace("version: v2", "version: v3")
    tip = commit_file(apart.folder, DECLARATION, text)
    git(apart.folder, "push", "-q")
    assert apart.record_verdicts().attempts == (FAILED,)
    assert git(apart.remote, "rev-parse", "main") == tip


def test_a_declaration_that_cannot_be_edited_does_not_hold_up_the_record(
    together: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> str:
        raise InputError(f"{DECLARATION} cannot be edited by itself")

    monkeypatch.setattr(recording, "set_fields", refuse)
    recorded = together.record_verdicts()
    assert recorded.attempts == (FAILED,)
    assert [error.what for error in recorded.refused] == ["main still declares churn v2 in dev, which failed"]
    assert together.outcomes("main") == ["failed", "promoted"]


def test_text_of_a_model_forges_no_trailer_and_fits_into_a_record(together: Place) -> None:
    reason = "bad\n\nGitops-ML-Attempt: forged\0\ud800\x1b[31m"
    logs = "\n".join(["x" * 300_000] * 40)
    together.entries = [
        msgspec.structs.replace(entry, logs=logs, checks=tuple(dirty(check, reason) for check in entry.checks))
        if isinstance(entry, Judged) and entry.verdict == "Failed"
        else entry
        for entry in together.entries
    ]
    recorded = together.record_verdicts()
    assert recorded.refused == ()
    trailers = git(together.remote, "log", "-1", "--format=%(trailers:key=Gitops-ML-Attempt,valueonly)", "main")
    assert trailers == FAILED
    assert together.outcomes("main") == ["failed", "promoted"]


def dirty(check: CheckResult, reason: str) -> CheckResult:
    return msgspec.structs.replace(check, reason=reason, figures={"answer\n": reason})


def second_try(entries: list[Entry]) -> list[Entry]:
    """The entries of a rollout as those of another attempt."""
    return [msgspec.convert(msgspec.to_builtins(entry) | {"attempt": "again"}, Entry) for entry in entries]


def test_a_revert_names_the_commit_whose_application_was_verified(together: Place) -> None:
    serve = "serve: {pattern: embed, build: {context: shop}, model_path: /model, port: 80}\n"
    commit_file(together.folder, "shop/Dockerfile", "FROM scratch\n")
    text = f"schema: 1\nmodel: churn\nversion: v1\ndigest: {MD5}\n{serve}"
    verified = commit_file(together.folder, DECLARATION, text)
    tip = commit_file(together.folder, "shop/Dockerfile", "FROM scratch\nLABEL a=b\n")
    git(together.folder, "push", "-q", "origin", "main")
    v1 = msgspec.structs.replace(generation("v1", pattern="embed"), commit=verified, digest=MD5)
    v2 = msgspec.structs.replace(generation("v2", pattern="embed"), commit=tip)
    state = fold_entries([*promoted(v1), *failed(v2, v1)[:-1]])
    record_verdicts(together.repo, "dev", state, engine=ENGINE, same_generation=lambda *_: True)
    content = yaml.safe_load(git(together.remote, "show", f"main:{DECLARATION}"))
    assert content["serve"]["build"] == {"context": "shop", "dockerfile": "Dockerfile", "commit": verified}
    assert git(together.remote, "show", "main:shop/Dockerfile") != "FROM scratch", "code is left alone"
