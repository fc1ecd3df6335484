"""Makes the image of a model: the artifact as one layer on another image. Piece by piece, since models are large."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gitops_ml.artifacts.content import FileContent
from gitops_ml.errors import InputError
from gitops_ml.serving.building.archive import Streamed, stream
from gitops_ml.serving.building.context import image_reference, with_folders

DOCKERFILE = "FROM {below}\nCOPY model {path}\n"
IDENTITY = "gitops-ml.json"
MODEL_PATH = "/model"
"""Where our server finds the artifact."""


def model_context(
    model: Path | Iterable[tuple[str, FileContent]], below: str, path: str = MODEL_PATH
) -> Iterator[bytes]:
    """Make the build context (a tar) of a model image: the artifact at `path`, readable by all, writable by none.

    Args:
        model: the artifact's folder, or its files as (path in it, content).
        below: reference or ID of the image that the artifact is put on: the runtime image, or an application's.

    Raises:
        InputError: a path leaves the artifact, the folder holds a link or a special file, or there is no file.
    """
    files = _model_files(_folder_files(model) if isinstance(model, Path) else model)
    files["Dockerfile"] = DOCKERFILE.format(below=image_reference(below), path=path).encode()
    return stream(with_folders(files))


def identity_file(model: str, version: str, digest: str) -> dict[str, bytes]:
    """The file that says beside an embedded artifact what the artifact is, by its name."""
    content = {"model": model, "version": version, "digest": digest}
    return {IDENTITY: json.dumps(content, sort_keys=True, ensure_ascii=False).encode() + b"\n"}


def model_archive(
    model: Iterable[tuple[str, FileContent]], runtime: Mapping[str, Any], tag: str, labels: Mapping[str, str]
) -> Iterator[bytes]:
    """Make the model image as an archive (a tar, as `docker save` writes) that holds only its one new layer.

    An engine that stores images as layers loads it in a third of the time of a build, since it runs no build step. The
    containerd store wants every layer, and refuses it. The same arguments give the same bytes and the same image ID.

    Args:
        model: as `model_context`.
        runtime: the engine's description (inspect) of the runtime image.
        tag: name of the image.
        labels: labels of the image, beside those of the runtime image.

    Raises:
        InputError: as `model_context`.
    """
    files = with_folders(_model_files(model))
    size, digest = 0, hashlib.sha256()
    for piece in stream(files):
        size += len(piece)
        digest.update(piece)
    below = list(runtime["RootFS"]["Layers"])
    config = {
        "architecture": runtime["Architecture"],
        "os": runtime["Os"],
        "created": runtime["Created"],
        "config": runtime["Config"] | {"Labels": (runtime["Config"].get("Labels") or {}) | dict(labels)},
        "rootfs": {"type": "layers", "diff_ids": [*below, f"sha256:{digest.hexdigest()}"]},
        "history": [{"created": runtime["Created"], "created_by": "COPY model /model"}],
    }
    content = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    layers = [*(f"{layer.removeprefix('sha256:')}/layer.tar" for layer in below), "model/layer.tar"]
    manifest = [{"Config": name, "RepoTags": [image_reference(tag)], "Layers": layers}]
    layer = Streamed(size, lambda: stream(files))
    archive: dict[str, FileContent | Streamed] = {
        name: content,
        "manifest.json": json.dumps(manifest).encode(),
        "model/layer.tar": layer,
    }
    return stream(with_folders(archive))


def _model_files(model: Iterable[tuple[str, FileContent]]) -> dict[str, FileContent]:
    files: dict[str, FileContent] = {}
    for name, content in model:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in name or "\0" in name:
            raise InputError(f"the model holds a file named {name!r}", why="it would leave the artifact")
        files[f"model/{path}"] = content
    if not files:
        raise InputError("the model holds no file", fix="correct it or train again, then gitops-ml check")
    return files


def _folder_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise InputError(f"the model holds {path.name!r}", why="it is a link or a special file")
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
