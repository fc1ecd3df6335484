"""What is printed about models and data that DVC holds is run as printed, and brings what was missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from gitops_ml.clients.artifacts.sidecar import MAX_BYTES
from gitops_ml.errors import EngineUnavailable
from tests.git.cli_clone import answer, cli, finding, fix_of, shell, write
from tests.git.conftest import commit_file, git, run

LOCK = Path(__file__).parents[3] / "requirements" / "serving.txt"


def commit(work: Path, message: str) -> None:
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", message)
    git(work, "push", "-q")


def test_a_model_that_no_commit_has(project: Path) -> None:
    fix = fix_of(project, "register", "absent")
    assert fix == "dvc repro (or dvc add models/never-made), then commit dvc.lock (or models/never-made.dvc)"
    write(project, "models/never-made", "made\n")
    shell(project, fix.split("(or ")[1].split(")")[0])
    git(project, "add", fix.split("(or ")[2].removesuffix(")"))
    git(project, "commit", "-q", "-m", "Add the model")
    assert answer(project, "register", "absent")["tag"] == "absent@v0.0.1"


def test_a_model_that_is_only_here(project: Path) -> None:
    write(project, "params.yaml", "depth: 9\n")
    shell(project, "dvc repro -q")
    commit(project, "Train it")
    push, _, again = fix_of(project, "register", "single", "--push").partition(", ")
    assert again == "then register again"
    shell(project, push)
    assert answer(project, "register", "single", "--push")["pushed"]


def test_a_dvc_remote_that_is_not_there_yet(project: Path) -> None:
    shutil.rmtree(project.parent / "storage")
    command, _, choice = finding(project, "dvc remote")["fix"].partition("; or ")
    assert choice == "mount it"
    shell(project, command.removesuffix(" creates it"))
    assert finding(project, "dvc remote")["state"] == "ok"


def test_a_dvc_remote_at_a_file_url(lone: Path) -> None:
    (lone.parent / "storage").mkdir()
    write(lone, ".dvc/config", f"['remote \"storage\"']\n    url = file://{lone.parent}/storage\n")
    write(lone, "model.txt.dvc", f"outs:\n- {{md5: {'a' * 32}, size: 3, hash: md5, path: model.txt}}\n")
    write(lone, "dvc.yaml", "artifacts:\n  one: {path: model.txt, type: model}\n")
    git(lone, "add", "-A")
    git(lone, "commit", "-q", "-m", "Add a model")
    modify, _, rest = fix_of(lone, "register", "one").partition(", ")
    assert rest == "commit and push .dvc/config, then dvc push"
    assert finding(lone, "dvc remote")["fix"] == f"{modify}, {rest}"
    shell(lone, modify)
    git(lone, "commit", "-q", "-am", "Name the remote by its path")
    assert finding(lone, "dvc remote")["state"] == "ok"


def test_an_object_that_is_broken_at_the_remote(project: Path, other: Callable[[str], Path]) -> None:
    theirs = other("theirs")
    for path in (project.parent / "storage").rglob("*"):
        if path.is_file() and path.read_bytes() == b"depth: 5\n":
            path.chmod(0o644)
            path.write_text("broken\n")
            broken = path
    compare = ("diff", "single", "v1.0.0", "HEAD", "--no-predictions")
    for version in ("v1.0.0", "v1.1.0"):
        git(theirs, "tag", "-a", "-m", version, f"single@{version}", f"flight-delay@{version}^{{}}")
    fix = fix_of(theirs, *compare)
    remove, _, push = fix.partition(", then ")
    assert remove == "remove what is broken"
    broken.unlink()
    shell(project, push.partition(" from where it is whole")[0])
    assert cli(theirs, *compare).exit_code == 0


def test_a_model_that_git_keeps_as_a_link_or_a_pointer(project: Path) -> None:
    (project / "plain/model.json").rename(project / "weights.json")
    (project / "plain/model.json").symlink_to("../weights.json")
    commit(project, "Link to the model")
    choice, _, command = fix_of(project, "register", "in-git").partition(", or: ")
    assert choice == "commit the file itself"
    shell(project, command)
    commit(project, "Let DVC track it")
    assert answer(project, "register", "in-git")["digest"].startswith("md5:")


def test_a_model_that_git_lfs_keeps(project: Path) -> None:
    commit_file(project, "plain/model.json", "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n")
    untrack, _, command = fix_of(project, "register", "in-git").partition(", then: ")
    assert untrack == "git lfs untrack plain/model.json"
    write(project, "plain/model.json", '{"weights": []}\n')
    shell(project, command)
    commit(project, "Let DVC track it")
    assert answer(project, "register", "in-git")["digest"].startswith("md5:")


def test_a_dvc_remote_that_does_not_answer(project: Path, other: Callable[[str], Path]) -> None:
    shell(project, "dvc remote add -q -d -f storage http://127.0.0.1:9/none")
    commit(project, "Use another remote")
    theirs = other("theirs")
    fix = fix_of(theirs, "diff", "flight-delay", "v1.0.0", "v1.1.0", "--no-predictions")
    correct, _, pull = fix.partition(" until this works: ")
    assert "http://127.0.0.1:9/none" in shell(theirs, correct.split("(see ")[1].split(")")[0])
    assert subprocess.run(pull, shell=True, cwd=theirs, capture_output=True, check=False).returncode != 0
    shell(theirs, "dvc remote add -q -d -f storage ../storage")
    shell(theirs, pull)


def test_an_import_without_its_bytes(project: Path, lone: Path) -> None:
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", "--no-download", str(project), "model.txt", "-o", "one.txt")
    write(lone, "dvc.yaml", "artifacts:\n  one: {path: one.txt, type: model}\n")
    git(lone, "add", "-A")
    git(lone, "commit", "-q", "-m", "Import the model, later")
    update, _, again = fix_of(lone, "register", "one").partition(", ")
    assert again == "then commit it"
    shell(lone, update)
    git(lone, "commit", "-q", "-am", "Update the import")
    assert answer(lone, "register", "one")["tag"] == "one@v0.0.1"


def test_an_import_whose_source_is_gone(project: Path, lone: Path) -> None:
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    write(lone, "dvc.yaml", "artifacts:\n  one: {path: one.txt, type: model}\n")
    git(lone, "add", "-A")
    git(lone, "commit", "-q", "-m", "Import the model")
    shutil.rmtree(lone / ".dvc/cache")
    project.rename(project.with_name("moved"))
    compare = ("diff", "one", "HEAD", "HEAD", "--no-predictions")
    (lone / "one.txt").unlink()
    command = fix_of(lone, *compare).partition(", until this works: ")[2]
    project.with_name("moved").rename(project)
    shell(lone, command)
    assert cli(lone, *compare).exit_code == 0


def test_an_import_of_a_revision_that_git_would_take_for_an_option(project: Path, lone: Path) -> None:
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    write(lone, "dvc.yaml", "artifacts:\n  one: {path: one.txt, type: model}\n")
    file = lone / "one.txt.dvc"
    shutil.rmtree(lone / ".dvc/cache")
    commit = next(line.split()[1] for line in file.read_text().splitlines() if "rev_lock" in line)
    file.write_text(file.read_text().replace(commit, "--upload-pack=x"))
    git(lone, "add", "-A")
    git(lone, "commit", "-q", "-m", "Import the model")
    compare = ("diff", "one", "HEAD", "HEAD", "--no-predictions")
    (lone / "one.txt").unlink()
    shell(lone, fix_of(lone, *compare).replace("BRANCH", "main").replace("FILE.dvc", file.name))
    git(lone, "commit", "-q", "-am", "Update the import")
    assert cli(lone, *compare).exit_code == 0


def test_a_model_outside_of_the_repository(project: Path) -> None:
    elsewhere = project.parent / "elsewhere"
    elsewhere.write_text("{}\n")
    pipeline = (project / "dvc.yaml").read_text()
    write(project, "dvc.yaml", pipeline.replace("s3://bucket/model", str(elsewhere)))
    commit(project, "Name a model elsewhere")
    command, _, other = fix_of(project, "register", "external").removeprefix("bring it in: ").partition(", or ")
    assert other == "make it the output of a stage"
    shell(project, f"{command} {elsewhere} brought.json")
    write(project, "dvc.yaml", pipeline.replace("s3://bucket/model", "brought.json"))
    commit(project, "Bring the model in")
    assert answer(project, "register", "external")["tag"] == "external@v0.0.1"


def test_a_template_that_dvc_cannot_resolve(project: Path) -> None:
    pipeline = (project / "dvc.yaml").read_text()
    write(project, "dvc.yaml", pipeline.replace("    outs:", "    wdir: ${nothing}\n    outs:"))
    commit(project, "Use a template")
    command = fix_of(project, "register", "single").removesuffix(" says more")
    shown = subprocess.run(command, shell=True, cwd=project, capture_output=True, text=True, check=False)
    assert shown.returncode != 0 and "nothing" in shown.stderr


def test_a_model_whose_bytes_are_not_here(project: Path) -> None:
    (project / "model.txt").unlink()
    (fix,) = (line for line in cli(project, "check", "model.txt").output.splitlines() if "fix: " in line)
    shell(project, fix.partition("fix: ")[2])
    assert (project / "model.txt").exists()


def test_a_model_that_was_never_committed(project: Path) -> None:
    write(project, "booster.ubj", "{}\n")
    add, _, other = fix_of(project, "adopt", "booster.ubj", "--dry-run").partition(", or ")
    assert other == "git add booster.ubj; then commit"
    shell(project, add)
    commit(project, "Add the model")
    # What is asked for next is an engine, whose container would look into the model.
    elsewhere = ("--engine", f"unix://{project.parent}/no-engine.sock", "--requirements", str(LOCK))
    assert isinstance(cli(project, "adopt", "booster.ubj", "--dry-run", *elsewhere).exception, EngineUnavailable)


def test_a_large_file_beside_a_model(lone: Path) -> None:
    run(lone, "dvc", "init", "-q")
    write(lone, "model.json", "{}\n")
    write(lone, "serving/one/manifest.json", "{}\n")
    write(lone, "serving/one/notes.txt", "x" * (MAX_BYTES + 1))
    write(lone, "dvc.yaml", "artifacts:\n  one: {path: model.json, type: model}\n")
    git(lone, "add", "-A")
    git(lone, "commit", "-q", "-m", "Add a model, and notes")
    warnings = cli(lone, "register", "one").output
    assert "warning: serving/one/notes.txt has 16,777,217 bytes" in warnings
    shell(lone, warnings.partition("let DVC track it: ")[2].splitlines()[0])
    git(lone, "commit", "-q", "-m", "Let DVC track the notes")
    assert "notes.txt" not in cli(lone, "register", "one", "--version", "v0.0.2").output
