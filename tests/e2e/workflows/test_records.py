"""Records: verdicts and reverts reach Git although others push, and nobody's work is disturbed."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker
import pytest
import yaml

from tests.e2e.host import Host
from tests.e2e.workshop import HOLDOUT, MODEL, Ran, Workshop

CHURN = f"environments/dev/models/{MODEL}.yaml"
WITHIN = 60.0


@pytest.fixture
def served(workshop: Workshop) -> Workshop:
    """A workshop that serves v1.0.0 in dev, and has a worse v2.0.0."""
    return _serve(workshop)


def _serve(workshop: Workshop) -> Workshop:
    workshop.environment(drain="1s")
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", verify=HOLDOUT)
    workshop.sync()
    workshop.release("v2.0.0", noise=30)
    return workshop


def _hook(workshop: Workshop, script: str) -> Path:
    """Make the remote run a script before it accepts a push."""
    hook = workshop.remote / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)
    return hook


def _race(workshop: Workshop, theirs: Workshop, text: str) -> str:
    """Let a colleague's edit of the declaration reach the remote while gitops-ml pushes its record.

    Returns the colleague's commit.
    """
    theirs.pull()
    theirs.write(CHURN, text)
    theirs.git("add", "-A")
    theirs.git("commit", "-q", "-m", "Edit meanwhile")
    theirs.git("push", "-q", "origin", "HEAD:refs/heads/meanwhile")
    commit = theirs.git("rev-parse", "HEAD")
    _hook(
        workshop,
        "[ -e raced ] && exit 0\ntouch raced\n"
        f"env -u GIT_QUARANTINE_PATH -u GIT_OBJECT_DIRECTORY git update-ref refs/heads/main {commit}",
    )
    return commit


def test_a_record_is_built_on_a_concurrent_push_and_keeps_its_edits(served: Workshop, tmp_path: Path) -> None:
    served.declare("v2.0.0", verify=HOLDOUT)
    written = (served.folder / CHURN).read_text() + "# asked for by sales, see the wiki\n"
    edited = written.replace("schema: 1", "replicas: 2  # for the fair\nschema: 1")
    theirs = _race(served, served.another_clone(tmp_path / "theirs"), edited)
    served.sync(expect=3)
    served.pull()
    assert served.git("merge-base", "--is-ancestor", theirs, "HEAD") == ""
    assert served.record()["attempts"][0]["outcome"] == "failed"
    text = (served.folder / CHURN).read_text()
    declared = yaml.safe_load(text)
    assert (declared["version"], declared["replicas"]) == ("v1.0.0", 2)
    assert "# for the fair" in text
    assert "# asked for by sales, see the wiki" in text
    assert served.serving() == "v1.0.0"


def test_a_newer_declaration_is_not_reverted(served: Workshop, tmp_path: Path) -> None:
    served.release("v3.0.0")
    served.declare("v2.0.0", verify=HOLDOUT)
    _race(served, served.another_clone(tmp_path / "theirs"), (served.folder / CHURN).read_text().replace("v2", "v3"))
    served.run("sync", "dev")
    served.sync()
    assert served.declared()["version"] == "v3.0.0"
    assert served.serving() == "v3.0.0"
    outcomes = {a["version"]: a["outcome"] for a in served.record()["attempts"]}
    assert outcomes == {"v1.0.0": "promoted", "v2.0.0": "failed", "v3.0.0": "promoted"}


def test_a_rejected_push_is_published_by_a_later_pass_from_another_clone(served: Workshop, tmp_path: Path) -> None:
    theirs = served.another_clone(tmp_path / "theirs")
    served.declare("v2.0.0", verify=HOLDOUT)
    hook = _hook(served, "echo 'main is protected'; exit 1")
    ran = served.sync(expect=5)
    assert "main is protected" in ran.err
    assert served.serving() == "v1.0.0"
    assert served.declared()["version"] == "v2.0.0"
    assert served.sync(expect=5).err.count("begin") == 0, "the verdict is known"
    hook.unlink()
    theirs.run("sync", "dev")
    assert served.declared()["version"] == "v1.0.0"
    assert served.record()["attempts"][0]["outcome"] == "failed"
    served.sync()


def test_records_go_to_the_declared_branch(workshop: Workshop) -> None:
    workshop.environment(drain="1s", records={"branch": "gitops-ml/records"})
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", verify=HOLDOUT)
    main = workshop.git("rev-parse", "HEAD")
    workshop.sync()
    assert workshop.git("ls-remote", "origin", "main").split()[0] == main
    workshop.git("fetch", "-q", "origin")
    path = f"environments/dev/records/{MODEL}.yaml"
    record = yaml.safe_load(workshop.git("show", f"origin/gitops-ml/records:{path}"))
    assert record["serving"]["version"] == "v1.0.0"
    workshop.sync()
    workshop.release("v2.0.0", noise=30)
    workshop.declare("v2.0.0", verify=HOLDOUT)
    workshop.sync(expect=3)
    assert workshop.declared()["version"] == "v1.0.0"
    workshop.git("fetch", "-q", "origin")
    record = yaml.safe_load(workshop.git("show", f"origin/gitops-ml/records:{path}"))
    assert [a["outcome"] for a in record["attempts"]] == ["failed", "promoted"]


@pytest.mark.parametrize("kind", ["workshop", "lone_workshop"])
def test_unfinished_work_in_work_tree_and_index_is_not_touched(request: pytest.FixtureRequest, kind: str) -> None:
    used = _serve(request.getfixturevalue(kind))
    used.declare("v2.0.0", verify=HOLDOUT)
    used.write("notes.txt", "not tracked\n")
    used.write("data/holdout.csv", "edited and not staged\n")
    used.write("dvc.yaml", (used.folder / "dvc.yaml").read_text() + "# staged\n")
    used.git("add", "dvc.yaml")
    before = used.git("status", "--porcelain"), used.git("diff"), used.git("diff", "--cached")
    used.sync(expect=3)
    assert used.declared()["version"] == "v1.0.0"
    assert (used.git("status", "--porcelain"), used.git("diff"), used.git("diff", "--cached")) == before
    assert (used.folder / "notes.txt").read_text() == "not tracked\n"


def test_a_hold_keeps_the_incumbent_until_it_expires(served: Workshop) -> None:
    served.release("v1.1.0")
    until = (datetime.now(UTC) + timedelta(seconds=12)).isoformat(timespec="seconds")
    served.declare("v1.1.0", hold={"reason": "fair week", "until": until})
    served.sync(expect=4)
    status = served.status()
    assert (status["hold"], status["sync"], status["version"]) == ("fair week", "OutOfSync", "v1.0.0")
    assert served.serving() == "v1.0.0"
    deadline = time.monotonic() + WITHIN
    while served.run("sync", "dev").code == 4:
        assert time.monotonic() < deadline
    assert served.serving() == "v1.1.0"


def test_two_syncs_at_once_make_one_rollout_and_one_record(
    engine: docker.DockerClient, served: Workshop, tmp_path: Path
) -> None:
    theirs = served.another_clone(tmp_path / "theirs")
    served.release("v1.1.0")
    served.declare("v1.1.0", verify=HOLDOUT)
    ended: list[Ran] = []
    threads = [threading.Thread(target=lambda w=w: ended.append(w.run("sync", "dev"))) for w in (served, theirs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ran in ended:
        assert ran.code == 0 or "is held by" in ran.err, ran.err
    assert any(ran.code == 0 for ran in ended)
    served.sync()
    assert served.serving() == "v1.1.0"
    attempts = served.record()["attempts"]
    assert [a["version"] for a in attempts] == ["v1.1.0", "v1.0.0"]
    host = Host(engine, served.project)
    assert [len(host.of_role(role)) for role in ("replica", "lock", "probe")] == [1, 0, 0]
