"""A tip that cannot be followed: the pass looks at the commit that was applied last, as the journal names it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment import last_good
from gitops_ml.control.environment import target as target_module
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.environment.targets import preview
from gitops_ml.control.environment.view import Options
from gitops_ml.control.reconciler import reconcile
from gitops_ml.core.journal.entries import Applied
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.observed import Snapshot
from gitops_ml.errors import GitopsError, InputError, SourceError
from tests.git.conftest import commit_file, git
from tests.unit.builders import GATEWAY, NOW, PROJECT, container, generation, replica
from tests.unit.journals import intent, promoted
from tests.unit.snapshots import serving, snapshot

DEV, STAGING = "environments/dev/environment.yaml", "environments/staging/environment.yaml"
V1, V2 = generation("v1"), generation("v2")
GOOD = "schema: 1\ngateway: {port: 8081}\n"


class NoEngine(Connection):
    """A connection to an engine that the tests ask nothing of."""

    def to(self, files: EnvironmentFiles) -> Engine:
        return object()  # type: ignore[return-value]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    commit_file(folder, "environments/project.yaml", f"schema: 1\nname: {PROJECT}\n")
    commit_file(folder, DEV, GOOD)
    return folder


@pytest.fixture
def target(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Snapshot], EnvironmentTarget]]:
    opened = []

    def make(observed: Snapshot) -> EnvironmentTarget:
        for module in (target_module, last_good):
            monkeypatch.setattr(module, "observe", lambda *_: observed)
        opened.append(Repository.open(clone))
        return EnvironmentTarget(opened[-1], "dev", print, NoEngine())

    yield make
    for repo in opened:
        repo.close()


def tip(clone: Path) -> str:
    return git(clone, "rev-parse", "HEAD").strip()


def applied(commit: str) -> Snapshot:
    return snapshot(journal=[Applied(at=NOW.isoformat(), commit=commit)])


def break_environment(clone: Path) -> None:
    commit_file(clone, DEV, "schema: 1\ngatway: {port: 8081}\n")


def break_project(clone: Path) -> None:
    commit_file(clone, "environments/project.yaml", "nothing")


def vanish(clone: Path) -> None:
    git(clone, "rm", "-q", DEV)
    git(clone, "commit", "-q", "-m", "Remove dev")


def leave_unsigned(clone: Path) -> None:
    commit_file(clone, DEV, f"{GOOD}policy: {{require_signed_commits: true}}\n")


def hide_an_unsigned_commit(clone: Path) -> None:
    key = clone.parent / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in {"gpg.format": "ssh", "user.signingkey": str(key), "commit.gpgsign": "true"}.items():
        git(clone, "config", name, value)
    commit_file(clone, ".gitops-ml/allowed_signers", f"ada@example.org {key.with_suffix('.pub').read_text()}")
    commit_file(clone, DEV, f"{GOOD}policy: {{require_signed_commits: true}}\n")
    git(clone, "config", "commit.gpgsign", "false")
    commit_file(clone, DEV, f"{GOOD}policy: {{require_signed_commits: true, max_removals: 100%}}\n")
    git(clone, "config", "commit.gpgsign", "true")
    commit_file(clone, "README.md", "The tip is signed.\n")


def rewrite_history(clone: Path) -> None:
    git(clone, "commit", "-q", "--amend", "-m", "Another history")


SPOILT = [break_environment, break_project, vanish, leave_unsigned, hide_an_unsigned_commit, rewrite_history]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_pass_goes_on_at_the_commit_that_was_applied_last(
    clone: Path, target: Callable[[Snapshot], EnvironmentTarget], spoil: Callable[[Path], None]
) -> None:
    good = tip(clone)
    spoil(clone)
    view = reconcile(target(applied(good))).view
    assert view.source.commit == good
    assert isinstance(view.source.tip_error, InputError | SourceError)
    with pytest.raises(type(view.source.tip_error)):
        preview(target(applied(good)), Options())


@pytest.mark.parametrize("before", [None, "f" * 40])
def test_the_trouble_is_raised_where_no_commit_of_this_clone_was_applied(
    clone: Path, target: Callable[[Snapshot], EnvironmentTarget], before: str | None
) -> None:
    break_environment(clone)
    with pytest.raises(GitopsError, match="gatway"):
        reconcile(target(applied(before) if before else snapshot()))


UNREAD = {"0000000099-0000000000000000.json": b'{"kind":"moved","at":"x"}'}


def crashed(*entries: Entry, unread: dict[str, bytes] | None = None) -> Snapshot:
    """An environment whose only replica is gone, with this journal and entries that are not understood."""
    seen = serving(V1, replica(V1, state="exited"), journal=entries)
    return msgspec.structs.replace(seen, journal=seen.journal | (unread or {}))


def test_what_serves_is_healed_although_the_commit_that_was_applied_is_nobodys(
    clone: Path, target: Callable[[Snapshot], EnvironmentTarget]
) -> None:
    lost = Applied(at=NOW.isoformat(), commit="f" * 40)
    stuck = target(crashed(*promoted(V1), lost))
    view = stuck.look_back(Options(), SourceError("it does not descend"))
    assert [line.split(" because")[0] for line in view.plan.lines()] == [
        "start dev/churn 111111111111 x1",
        "route dev/churn 111111111111",
        "retire dev/churn 111111111111",
    ]
    assert stuck.look_again(view.source, Options(), locked=False).plan.lines() == view.plan.lines()
    with pytest.raises(SourceError, match="does not descend") as caught:
        preview(stuck, Options())
    assert "gitops-ml sync dev --allow-older" in caught.value.fix
    mended = stuck.look(Options(allow_older=True))
    assert mended.source.tip_error is None


def test_what_serves_is_healed_although_a_newer_version_wrote_into_the_journal(
    clone: Path, target: Callable[[Snapshot], EnvironmentTarget]
) -> None:
    known = Applied(at=NOW.isoformat(), commit=tip(clone))
    stuck = target(crashed(*promoted(V1), known, unread=UNREAD))
    with pytest.raises(InputError, match="is not understood") as caught:
        preview(stuck, Options())
    assert "gitops-ml sync dev --rebuild-journal" in caught.value.fix
    view = stuck.look_back(Options(), caught.value)
    assert [line.split(" because")[0] for line in view.plan.lines()] == [
        "start dev/churn 111111111111 x1",
        "route dev/churn 111111111111",
        "retire dev/churn 111111111111",
    ]
    rebuilt = stuck.look(Options(rebuild_journal=True))
    assert rebuilt.state.of("churn").serving == view.state.of("churn").serving


def test_what_a_newer_version_may_be_at_work_with_is_left_alone(
    clone: Path, target: Callable[[Snapshot], EnvironmentTarget]
) -> None:
    known = Applied(at=NOW.isoformat(), commit=tip(clone))
    open_rollout = crashed(*promoted(V1), known, intent(V2, V1), unread=UNREAD)
    elsewhere = serving(V2, replica(V2), replica(V1, state="exited"), journal=[*promoted(V1), known])
    for seen in (open_rollout, msgspec.structs.replace(elsewhere, journal=elsewhere.journal | UNREAD)):
        assert target(seen).look_back(Options(), InputError("x")).plan.lines() == []


def test_an_environment_whose_gateway_holds_its_port_goes_on_when_another_one_takes_the_port(
    clone: Path, target: Callable[[Snapshot], EnvironmentTarget]
) -> None:
    good = tip(clone)
    taken = commit_file(clone, STAGING, GOOD)
    holder = target(applied(good))
    view = reconcile(holder).view
    assert view.source.commit == taken and view.source.tip_error is None
    with pytest.raises(InputError, match="dev and staging both listen on port 8081"):
        preview(holder, Options())


@pytest.mark.parametrize("gateway", [None, 8082])
def test_an_environment_whose_gateway_does_not_hold_the_port_is_refused(
    clone: Path, target: Callable[[Snapshot], EnvironmentTarget], gateway: int | None
) -> None:
    commit_file(clone, STAGING, GOOD)
    moving = msgspec.structs.replace(GATEWAY, ports={8080: ("127.0.0.1", gateway or 0)})
    observed = msgspec.structs.replace(snapshot(), containers=(container(moving),) if gateway else ())
    with pytest.raises(InputError, match="dev and staging both listen on port 8081"):
        reconcile(target(observed))
