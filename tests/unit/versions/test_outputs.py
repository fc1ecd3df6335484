"""Where a path's bytes are, from every shape of DVC document, and which of them are not trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import convert

from gitops_ml.core.versions.documents import DvcFile, DvcLock, Pipeline
from gitops_ml.core.versions.outputs import (
    Output,
    artifact_path,
    dvc_outputs,
    find_output,
    listing_digest,
    lock_outputs,
    path_from_root,
    read_listing,
)
from gitops_ml.core.versions.stages import locked_stages
from gitops_ml.errors import InputError, ObjectCorrupt, VersionNotFound, VersionRefused

A, B = "a" * 32, "b" * 32


def lock(**stages: list[dict[str, Any]]) -> DvcLock:
    content = {"schema": "2.0", "stages": {name: {"cmd": "x", "outs": outs} for name, outs in stages.items()}}
    return convert(content, DvcLock)


def dvc_file(*outs: dict[str, Any], **fields: Any) -> DvcFile:
    return convert({"outs": list(outs), **fields}, DvcFile)


def test_the_outputs_of_a_lock() -> None:
    document = lock(
        train=[
            {"path": "models/m", "hash": "md5", "md5": f"{A}.dir", "size": 7, "nfiles": 2},
            {"path": "old.txt", "md5": B},
            {"path": "s3://bucket/x", "etag": "e"},
        ]
    )
    pipeline = Pipeline(
        stages={"train": {"outs": [{"./models/m": {"remote": "far", "push": False}}, {"old.txt": {"cache": False}}]}}
    )
    model, old = lock_outputs(locked_stages(document, pipeline), "dvc.lock")
    assert model == Output(
        path="models/m", digest=f"md5:{A}", is_dir=True, source="dvc.lock", size=7, pushed=False, remote="far"
    )
    assert model.plain and not old.plain and not old.cached


def test_working_directories_of_stages_and_folders_of_pipelines() -> None:
    document = lock(**{"make@x": [{"path": "../m", "hash": "md5", "md5": A}]})
    pipeline = Pipeline(stages={"make": {"foreach": ["x"], "do": {"wdir": "deep/er", "cmd": "x"}}})
    assert [o.path for o in lock_outputs(locked_stages(document, pipeline), "sub/dvc.lock")] == ["sub/deep/m"]
    assert locked_stages(DvcLock(), Pipeline()) == {}


def test_a_stage_that_dvc_yaml_has_no_more_makes_nothing() -> None:
    """dvc.lock keeps it, with the digest of then, until `dvc repro`; and another stage may make the model now."""
    document = lock(old=[{"path": "m", "hash": "md5", "md5": A}], new=[{"path": "m", "hash": "md5", "md5": B}])
    (only,) = lock_outputs(locked_stages(document, Pipeline(stages={"new": {"cmd": "x"}})), "dvc.lock")
    assert only.digest == f"md5:{B}"
    stale = lock(**{"new@x": [{"path": "m", "hash": "md5", "md5": A}]})
    assert locked_stages(stale, Pipeline(stages={"new": {"cmd": "x"}})) == {}


def test_the_outputs_of_dvc_files() -> None:
    def output(**extra: Any) -> Output:
        out = {"path": "rows.csv", "hash": "md5", "md5": A, **extra.pop("out", {})}
        (only,) = dvc_outputs(dvc_file(out, **extra), "data/rows.csv.dvc")
        return only

    assert (output().path, output().plain) == ("data/rows.csv", True)
    assert output(deps=[{"path": "s3://b/rows.csv", "etag": "e"}]).plain  # import-url: pushed as any other
    assert output(deps=[{"path": "rows.csv", "repo": {"url": "u"}}]).imported
    assert not output(out={"push": False}).pushed
    partial = {"md5": None, "hash": "md5"}
    assert output(out=partial, deps=[{"path": "rows.csv", "repo": {"url": "u"}}]).digest == ""
    assert output(out={"cloud": {"far": {"version_id": "1"}}}).by_cloud
    files = [{"relpath": "x", "md5": B, "cloud": {}}]
    (by_cloud,) = dvc_outputs(dvc_file({"path": "d", "files": files}), "d.dvc")
    assert (by_cloud.digest, by_cloud.is_dir, by_cloud.plain) == (listing_digest({"x": B}), True, False)
    assert dvc_outputs(DvcFile(), "x.dvc") == dvc_outputs(dvc_file({"path": "never-made"}), "x.dvc") == []


def test_an_output_is_found_by_its_path() -> None:
    outs = dvc_outputs(
        dvc_file({"path": "m", "hash": "md5", "md5": f"{A}.dir"}, {"path": "d/x", "hash": "md5", "md5": B}), "a.dvc"
    )
    assert find_output(outs, "m") == (outs[0], "")
    assert find_output(outs, "m/code/x.py") == (outs[0], "code/x.py")
    assert find_output(outs, "mm") is None
    assert find_output(outs, "d/x/y") is None
    with pytest.raises(VersionRefused, match="folder that contains outputs: d/x"):
        find_output(outs, "d")


@pytest.mark.parametrize("path", ["s3://b/m", "/abs/m", "~/m", "C:\\m", "../m", "sub/../../m", ".", "a\nb"])
def test_paths_outside_the_repository_are_refused(path: str) -> None:
    with pytest.raises(VersionRefused) as caught:
        path_from_root("", path, "m")
    assert caught.value.fix


def test_an_artifact_is_found_by_its_name() -> None:
    artifacts = {"m": {"path": "../models/m", "type": "model"}, "bare": {}, "list": []}
    assert artifact_path(artifacts, "sub/dvc.yaml", "sub:m", "m") == "models/m"
    with pytest.raises(VersionNotFound, match=r"did you mean m\?"):
        artifact_path({"m": {"path": "m"}}, "dvc.yaml", "mm", "mm")
    with pytest.raises(VersionNotFound, match="it has none"):
        artifact_path({}, "dvc.yaml", "m", "m")
    with pytest.raises(InputError, match="no path"):
        artifact_path(artifacts, "dvc.yaml", "bare", "bare")
    with pytest.raises(InputError, match="no path"):
        artifact_path(artifacts, "dvc.yaml", "list", "list")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", "a//b", "", "a/", ".", "a\\b", "a\0b", "x/."])
def test_a_manifest_names_only_paths_below_its_folder(name: str) -> None:
    with pytest.raises(ObjectCorrupt):
        read_listing(json.dumps([{"md5": A, "relpath": name}]).encode(), "m")


@pytest.mark.parametrize(
    "data", [b"", b"{}x", b"[1]", b'[{"md5": "zz", "relpath": "x"}]', b'{"a": 1}', b"\xff", b"[" * 100_000]
)
def test_a_malformed_manifest_is_an_error(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt):
        read_listing(data, "m")


def test_the_digest_of_a_manifest_does_not_depend_on_order() -> None:
    assert listing_digest({"b": B, "a": A}) == listing_digest({"a": A, "b": B})
    assert read_listing(b"[]", "m") == {}
