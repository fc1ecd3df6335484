"""How git is run: ended in time without a trace, and with output that no configuration of the user changes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gitops_ml.clients.git.process import Git
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, PushRejected, SourceError, SourceUnavailable
from tests.git.conftest import commit_file, git

COLOURS = ("ui", "branch", "diff", "status", "remote", "push", "transport", "advice")


def locks(folder: Path) -> list[str]:
    """Git's lock files in the repository."""
    return sorted(str(p.relative_to(folder)) for p in (folder / ".git").rglob("*.lock"))


def script(place: Path, text: str) -> Path:
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return place


def running(marker: Path) -> bool:
    """Whether the process whose id `marker` holds still runs."""
    try:
        state = Path(f"/proc/{marker.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def until(condition: object, seconds: float = 20.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_a_time_out_leaves_no_lock_file(lone: Path, tmp_path: Path) -> None:
    # The editor hangs while `git commit --all` holds index.lock.
    (lone / "a.txt").write_text("two\n")
    editor = script(tmp_path / "editor", f"echo $$ > {tmp_path}/pid; exec sleep 30")
    result = Git.at(lone).run("commit", "--all", env={"GIT_EDITOR": str(editor)}, timeout=1.0)
    assert (result.code, result.messages) == (-1, "git commit did not end within 1 s")
    assert locks(lone) == []
    assert not running(tmp_path / "pid")
    git(lone, "commit", "-qam", "The user is not blocked")


def test_a_program_that_ignores_the_request_to_end_is_killed(lone: Path, tmp_path: Path) -> None:
    editor = script(tmp_path / "editor", f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done")
    began = time.monotonic()
    assert Git.at(lone).run("commit", "--allow-empty", env={"GIT_EDITOR": str(editor)}, timeout=0.5).code == -1
    assert time.monotonic() - began < 10
    until(lambda: not running(tmp_path / "pid"))


def test_an_unshallowing_that_hangs_leaves_no_lock_file(project: Path, tmp_path: Path) -> None:
    place = project.parent / "shallow"
    git(project.parent, "clone", "-q", "--depth=1", f"file://{project.parent}/origin.git", "shallow")
    # The pack never comes: shallow.lock is held by then.
    hung = script(tmp_path / "upload-pack", f"echo $$ > {tmp_path}/pid; exec sleep 30")
    git(project.parent / "origin.git", "config", "uploadpack.packObjectsHook", str(hung))
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text(f"{config.read_text()}[uploadpack]\n\tpackObjectsHook = {hung}\n")
    with Repository.open(place) as repository, pytest.raises(SourceUnavailable, match="did not end within"):
        repository.fetch(timeout=1.5)
    assert (tmp_path / "pid").exists()
    assert locks(place) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["waited for", "in a thread"])
def test_an_interrupt_ends_git_too(project: Path, tmp_path: Path, number: signal.Signals, place: str) -> None:
    git(project, "config", "remote.origin.uploadpack", f"echo $$ > {tmp_path}/pid; exec sleep 30; true")
    fetch = "repo.fetch()" if place == "waited for" else "repo.begin_fetch(); time.sleep(30)"
    program = (
        "import signal, sys, time\n"
        "from gitops_ml.clients.git.repository import Repository\n"
        "for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.default_int_handler)\n"
        f"repo = Repository.open({str(project)!r})\n"
        f"{fetch}\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=Path.cwd(), stderr=subprocess.DEVNULL) as process:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        process.send_signal(number)
        process.wait(10)
    until(lambda: not running(tmp_path / "pid"))
    assert locks(project) == []


def test_closing_ends_a_fetch_in_another_thread(project: Path, tmp_path: Path) -> None:
    git(project, "config", "remote.origin.uploadpack", f"echo $$ > {tmp_path}/pid; exec sleep 30; true")
    with Repository.open(project) as repository:
        repository.begin_fetch()
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    until(lambda: not running(tmp_path / "pid"))


def test_no_configuration_changes_what_is_read(project: Path) -> None:
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text(
        f"{config.read_text()}[color]\n"
        + "".join(f"\t{kind} = always\n" for kind in COLOURS)
        + "[log]\n\tshowSignature = true\n\tdecorate = full\n\tdate = relative\n"
        + "[format]\n\tpretty = oneline\n[core]\n\tquotePath = true\n[status]\n\tshort = true\n\tbranch = true\n"
        + "[diff]\n\trelative = true\n\tnoprefix = true\n\trenames = copies\n[i18n]\n\tlogOutputEncoding = latin1\n"
    )
    git(project, "commit", "-q", "--allow-empty", "-m", "Grüße")
    git(project, "push", "-q")
    with Repository.open(project) as repository:
        tip = repository.fetch()
        assert [c.subject for c in repository.log(n=2)] == ["Grüße", "Train the deepest model"]
        assert "flight-delay@v1.1.0" in {t.name for t in repository.tags()}
        made = repository.commit_files(tip, {"ü.txt": b"x"}, "Add")
        assert repository.changed_files(tip, made) == ["ü.txt"]
        assert repository.advance(made, tip) == "pushed"


def test_colours_do_not_hide_the_words_of_the_remote(repo: Repository, project: Path) -> None:
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text(f"{config.read_text()}[color]\n" + "".join(f"\t{kind} = always\n" for kind in COLOURS))
    script(project.parent / "origin.git" / "hooks" / "pre-receive", "echo 'error: main is protected' >&2; exit 1")
    tip = repo.tip()
    with pytest.raises(PushRejected) as caught:
        repo.advance(repo.commit_files(tip, {"x": b"x"}, "Record"), tip)
    assert "main is protected" in caught.value.why
    assert "\x1b" not in caught.value.why


def test_a_remote_that_is_a_command_is_refused(project: Path, tmp_path: Path) -> None:
    git(project, "config", "remote.origin.url", f"ext::touch {tmp_path}/run")
    git(project, "config", "protocol.ext.allow", "always")
    with Repository.open(project) as repository, pytest.raises(SourceUnavailable, match="not allowed"):
        repository.fetch()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["--upload-pack=touch run", "-x"])
def test_a_remote_with_the_name_of_an_option_is_no_option(project: Path, name: str) -> None:
    git(project, "config", "--rename-section", "remote.origin", f"remote.{name}")
    git(project, "config", "branch.main.remote", name)
    with Repository.open(project) as repository, contextlib.suppress(SourceUnavailable):
        repository.fetch()
    assert not (project / "run").exists()


@pytest.mark.parametrize(
    "name", ["-x", "--output=pwned", "main\ndelete refs/heads/main", "a b", "main:other", "a\0b", "..", "a*"]
)
def test_names_that_are_no_names_are_refused(lone: Path, name: str) -> None:
    with Repository.open(lone) as repository:
        tip = repository.tip()
        made = repository.commit_files(tip, {"x": b"x"}, "Record")
        assert repository.find_tip(name) is None
        assert repository.find_shared(name) is None
        if not name.startswith("-"):
            with pytest.raises(InputError, match="no name"):
                repository.advance(made, None, name)
            with pytest.raises(InputError, match="no name"):
                repository.create_tag(name, tip, "Register")
        assert repository.read_file(tip, name) is None
        if not {"\0", "."} & set(name):
            assert repository.log(name) == []
        assert repository.tip() == tip
    assert git(lone, "status", "--porcelain") == ""


def test_names_of_objects_are_whole_lines(lone: Path) -> None:
    with Repository.open(lone) as repository:
        tip = repository.tip()
        for name in ("", "main\n", "main\0", "main\r", "main\nHEAD", "\ud800"):
            assert repository.read_object(name) is None
        found = repository.read_object("main")
        assert found is not None and found.id == tip


def test_paths_are_no_patterns(lone: Path) -> None:
    commit_file(lone, "models/[ab]/m.txt", "one\n", "Literal")
    commit_file(lone, "models/a/m.txt", "one\n", "Other")
    with Repository.open(lone) as repository:
        assert [c.subject for c in repository.log("models/[ab]")] == ["Literal"]
        assert repository.log(":(exclude)models") == []


def test_an_object_that_is_too_large_leaves_the_next_one_readable(lone: Path) -> None:
    commit_file(lone, "big.txt", "x" * 3_000_000)
    with Repository.open(lone) as repository:
        tip = repository.tip()
        big = repository.read_blob(tip, "big.txt", limit=10)
        assert big is not None and (big.data, big.size) == (None, 3_000_000)
        assert repository.read_file(tip, "a.txt") == b"one\n"


def test_threads_get_their_own_answers(lone: Path) -> None:
    names = [f"f{n}.txt" for n in range(20)]
    for name in names:
        (lone / name).write_text(name)
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Add files")
    wrong: list[str] = []

    def read(repository: Repository, tip: str) -> None:
        wrong.extend(n for _ in range(20) for n in names if repository.read_file(tip, n) != n.encode())

    with Repository.open(lone) as repository:
        threads = [threading.Thread(target=read, args=(repository, repository.tip())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_ambiguous_names_do_not_block_the_reader(lone: Path) -> None:
    # Git prints a warning for each, and its pipe holds some 1,000 of them.
    git(lone, "tag", "main", "HEAD")
    with Repository.open(lone) as repository:
        for _ in range(3000):
            assert repository.read_object("main") is not None


def test_a_commit_of_an_unknown_encoding_is_read(lone: Path) -> None:
    tree, parent = git(lone, "rev-parse", "HEAD^{tree}"), git(lone, "rev-parse", "HEAD")
    raw = f"tree {tree}\nparent {parent}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\nencoding nonsense\n\nOdd\n"
    made = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=lone, input=raw, capture_output=True, text=True
    ).stdout.strip()
    with Repository.open(lone) as repository:
        assert [c.subject for c in repository.log(rev=made, n=1)] == ["Odd"]


def test_without_git_that_is_said(lone: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="there is no git on this machine"):
        Repository.open(lone)
    program = "import gitops_ml.clients.git.repository"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[3], check=True)


def test_a_repository_of_longer_ids_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "long")
    with pytest.raises(SourceError, match="sha256 object ids"):
        Repository.open(tmp_path / "long")


def test_inside_of_the_git_folder_is_no_place(lone: Path) -> None:
    with pytest.raises(SourceError, match="lies inside a"):
        Repository.open(lone / ".git" / "refs")


def test_an_owner_that_git_does_not_trust_is_named(lone: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository away")
    for path in (lone, lone / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(SourceError, match="does not trust the owner") as caught:
        Repository.open(lone)
    assert caught.value.fix == f"git config --global --add safe.directory {lone}"


def test_tokens_are_kept_out_of_messages(project: Path) -> None:
    git(project, "config", "remote.origin.url", "http://ada:s3cret@127.0.0.1:9/x.git")
    with Repository.open(project) as repository, pytest.raises(SourceUnavailable) as caught:
        repository.fetch(timeout=20)
    assert "s3cret" not in str(caught.value) and "127.0.0.1:9" in str(caught.value)
