"""dvc.yaml with templates: resolved as DVC resolves them, and refused where that would have no end."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gitops_ml.clients.artifacts.path_digests import lineage_of, resolve_path
from gitops_ml.clients.artifacts.resolution import read, resolve_at
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, VersionNotFound
from tests.git.conftest import commit_file, git, run

PIPELINE = """\
vars: [more.json:folder, {suffix: txt}]
stages:
  each:
    foreach: ${countries}
    do:
      wdir: ${folder}/${item}
      cmd: echo ${item} > model.${suffix}
      params: [{../../params.yaml: [depth]}]
      outs: [model.txt]
  grid:
    matrix: {size: [1, 2], kind: [a, b]}
    wdir: ${folder}
    cmd: echo ${item.size}${item.kind} > ${key}.txt
    outs: [{"${key}.txt": {cache: false, push: false}}]
  own:
    vars: [{where: own.txt}]
    cmd: echo own > ${where}
    outs: [{"${where}": {cache: false}}, {plain.txt: {remote: "${store}"}}]
artifacts:
  ${names.de}: {path: "${folder}/de/model.txt", type: model}
"""
PARAMS = "depth: 3\ncountries: [de, fr]\nnames: {de: german}\nstore: storage\n"


@pytest.fixture
def templated(repo: Repository, project: Path) -> Path:
    """The project with stages of every kind of template, made by DVC and committed."""
    (project / "params.yaml").write_text(PARAMS)
    (project / "more.json").write_text('{"folder": "work", "other": 1}')
    (project / "dvc.yaml").write_text(PIPELINE.replace("echo own > ${where}", "echo own | tee ${where} > plain.txt"))
    for country in ("de", "fr"):
        (project / "work" / country).mkdir(parents=True)
    run(project, "dvc", "repro", "-q")
    git(project, "add", "-A")
    git(project, "add", "-f", "work", "own.txt")
    git(project, "commit", "-qm", "Make them from templates")
    return project


def test_templates_are_resolved_as_dvc_resolves_them(repo: Repository, templated: Path) -> None:
    tip = repo.resolve("HEAD")
    for country in ("de", "fr"):
        resolved = resolve_path(repo, tip, f"work/{country}/model.txt")
        assert resolved.kind == "dvc" and read(repo, resolved) == {"model.txt": f"{country}\n".encode()}
        assert lineage_of(repo, resolved).params == {"params.yaml:depth": 3}
    grid = resolve_path(repo, tip, "work/2-a.txt")
    assert (grid.kind, read(repo, grid)) == ("git", {"2-a.txt": b"2a\n"})
    assert resolve_path(repo, tip, "own.txt").kind == "git"
    plain = resolve_path(repo, tip, "plain.txt").output
    assert plain is not None and plain.remote == "storage"
    assert resolve_at(repo, "german", tip).path == "work/de/model.txt"
    with pytest.raises(VersionNotFound, match="it has: german"):
        resolve_at(repo, "french", tip)


def test_what_a_template_no_more_generates_is_gone(repo: Repository, templated: Path) -> None:
    commit = commit_file(templated, "params.yaml", PARAMS.replace("[de, fr]", "[de]"))
    git(templated, "rm", "-q", "--cached", "work/fr/model.txt")
    git(templated, "commit", "-qm", "Forget France")
    lock = yaml.safe_load((templated / "dvc.lock").read_text())
    assert "each@fr" in lock["stages"]
    resolve_path(repo, commit, "work/de/model.txt")
    with pytest.raises(VersionNotFound):
        resolve_path(repo, repo.resolve("HEAD"), "work/fr/model.txt")


LOCK = "schema: '2.0'\nstages:\n  s@a:\n    cmd: x\n    outs: [{path: m, hash: md5, md5: %s}]\n" % ("a" * 32)


@pytest.mark.parametrize(
    ("pipeline", "params", "says"),
    [
        pytest.param("foreach: [a], do: {wdir: '${none}'}", "", "'none'", id="no such variable"),
        pytest.param("foreach: [a], do: {wdir: '${x.}'}", "x: 1", "template", id="no expression"),
        pytest.param(
            f"wdir: '${{key}}', matrix: {{{', '.join(f'k{n}: {list(range(50))}' for n in range(9))}}}",
            "",
            "generates 1953125000000000 stages",
            id="stages without end",
        ),
        pytest.param(
            "foreach: [a], do: {wdir: '%s'}" % ("${x}" * 3000), f"x: {'y' * 900_000}", "stand for more", id="text"
        ),
        pytest.param("foreach: [a], do: {wdir: '${x}'}", f"x: {'[' * 5000}", "nested too deep", id="nesting"),
        pytest.param("foreach: [a], do: {wdir: '${x}'}", f"x: {'y' * 1_100_000}", "too large", id="a large file"),
        pytest.param("foreach: '${x}', do: {wdir: '${item}'}", "x: 1", "expected list/dictionary", id="no list"),
    ],
)
def test_templates_that_nobody_can_resolve_are_refused(
    repo: Repository, project: Path, pipeline: str, params: str, says: str
) -> None:
    commit_file(project, "params.yaml", f"{params}\n")
    commit_file(project, "dvc.lock", LOCK)
    commit = commit_file(project, "dvc.yaml", f"stages:\n  s: {{cmd: x, {pipeline}}}\n")
    with pytest.raises((InputError, VersionNotFound), match=says) as caught:
        resolve_path(repo, commit, "m")
    assert caught.value.fix


@pytest.mark.parametrize("name", ["vars.toml", "vars.py"])
def test_variables_in_toml_and_python_are_read_and_never_run(repo: Repository, project: Path, name: str) -> None:
    commit_file(project, name, 'folder = "work"\n')
    commit_file(project, "dvc.lock", LOCK.replace("s@a", "s"))
    commit = commit_file(project, "dvc.yaml", f"vars: [{name}]\nstages:\n  s: {{cmd: x, wdir: '${{folder}}'}}\n")
    assert resolve_path(repo, commit, "work/m").digest == "md5:" + "a" * 32
    deep = commit_file(project, name, f"folder = {'[' * 20_000}\n")
    with pytest.raises(InputError):
        resolve_path(repo, deep, "work/m")
