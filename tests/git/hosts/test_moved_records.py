"""`engine` becomes `engines`, or the other way round: the records go along, and all commands tell the same of them."""

from __future__ import annotations

import json

import pytest

from gitops_ml.clients.files.environments import read_environment
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.view import Options
from gitops_ml.core.records.verified import promotable
from gitops_ml.errors import InputError
from tests.git.cli_clone import cli
from tests.git.conftest import git
from tests.git.hosts.simulated import NAME, Fleet, codes


@pytest.fixture
def one(fleet: Fleet) -> Fleet:
    """One engine, ssh://leeds, that serves v1.0.0."""
    run_on_one(fleet)
    fleet.declare("v1.0.0")
    assert set(codes(fleet.sync()).values()) == {0}
    return fleet


def run_on_one(fleet: Fleet) -> None:
    fleet.run_on("leeds", engine="ssh://leeds", engines=None)
    fleet.hosts[""] = fleet.hosts["leeds"]


def become(fleet: Fleet, *names: str) -> None:
    """Declare several hosts, or one engine without a name, and push."""
    fleet.pull()
    if names:
        fleet.hosts.pop("", None)
        fleet.run_on(*names)
    else:
        run_on_one(fleet)
    fleet.push("Declare other hosts")


def record_files(fleet: Fleet) -> list[str]:
    git(fleet.folder, "fetch", "-q", "origin")
    folder = "environments/dev/records/"
    listed = git(fleet.folder, "ls-tree", "-r", "--name-only", "origin/main", folder).splitlines()
    return [path.removeprefix(folder) for path in listed]


def promoted_version(fleet: Fleet) -> str:
    """The version that `promote` would take from here. Raises `InputError`."""
    with Repository.open(fleet.folder) as repo:
        files = read_environment(repo, repo.fetch(), "dev")
        return promotable("dev", NAME, read_records(repo, files).get(NAME))[0].version


def history(fleet: Fleet) -> list[tuple[str | None, str]]:
    """The host and the version of each attempt, the newest first."""
    told = json.loads(cli(fleet.folder, "history", "dev", "-o", "json").stdout)
    return [(attempt["host"], attempt["version"]) for attempt in told["records"][NAME]["attempts"]]


def statuses(fleet: Fleet) -> set[tuple[str, str, str]]:
    views = [target.look(Options()) for target in fleet.targets()]
    return {(s.version, s.sync, s.verification) for view in views for s in view.plan.statuses}


def test_the_record_of_one_engine_becomes_that_of_its_host(one: Fleet) -> None:
    become(one, "york", "leeds")
    assert history(one) == [(None, "v1.0.0")]
    with pytest.raises(InputError, match="nothing to promote"):
        promoted_version(one)
    assert set(codes(one.sync()).values()) == {0}
    assert sorted(record_files(one)) == [f"leeds/{NAME}.yaml", f"york/{NAME}.yaml"]
    assert sorted(history(one), key=str) == [("leeds", "v1.0.0"), ("york", "v1.0.0")]
    assert promoted_version(one) == "v1.0.0" and statuses(one) == {("v1.0.0", "Synced", "Verified")}
    subjects = git(one.folder, "log", "--format=%s", "origin/main")
    assert f"Record what serves in dev@leeds: {NAME}\n" in subjects


def test_the_records_of_a_host_become_those_of_the_one_engine(one: Fleet) -> None:
    become(one, "leeds", "york")
    one.sync()
    one.declare("v1.1.0")
    assert set(codes(one.sync()).values()) == {0}
    become(one)
    # Before any pass, and after it, everything tells the same.
    for passes in range(2):
        assert promoted_version(one) == "v1.1.0" and statuses(one) == {("v1.1.0", "Synced", "Verified")}
        assert [version for _, version in history(one)] == ["v1.1.0", "v1.1.0", "v1.0.0", "v1.0.0"]
        assert sorted(record_files(one)) == [
            *([f"{NAME}.yaml"] if passes else []),
            *([] if passes else [f"leeds/{NAME}.yaml"]),
            f"york/{NAME}.yaml",
        ]
        assert set(codes(one.sync()).values()) == {0}
    assert len(one.hosts["leeds"].state(NAME).attempts) == 2, "nothing was rolled out again"


def test_nothing_is_recorded_again_once_the_records_have_moved(one: Fleet) -> None:
    become(one, "leeds", "york")
    one.sync()
    before = git(one.folder, "rev-parse", "origin/main")
    one.sync()
    git(one.folder, "fetch", "-q", "origin")
    assert git(one.folder, "rev-parse", "origin/main") == before


def test_a_record_of_another_engine_stays_where_it_is(one: Fleet) -> None:
    become(one, "york", "hull")
    assert set(codes(one.sync()).values()) == {0}
    assert sorted(record_files(one)) == [f"{NAME}.yaml", f"hull/{NAME}.yaml", f"york/{NAME}.yaml"]
    assert promoted_version(one) == "v1.0.0" and (None, "v1.0.0") in history(one)
