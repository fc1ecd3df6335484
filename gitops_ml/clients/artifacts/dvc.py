"""What only DVC itself can do: remotes that are no local folder, imports, cloud versions, objects of DVC 2.x.

The only importer of DVC. Its import takes a second, so each function imports it: most passes need none of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitops_ml.clients.artifacts.dvc_config import Config, dvc_settings
from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError, ObjectCorrupt, ObjectMissing, SourceUnavailable


def download_object(config: Config, remote: str, name: str, target: Path) -> bool:
    """Get the object `name` of `remote` into `target`; False when the remote does not have it.

    Raises SourceUnavailable when the remote does not answer. The bytes are not verified here.
    """
    with _objects(config, remote) as objects:
        try:
            objects.fs.get_file(objects.oid_to_path(name), str(target))
        except FileNotFoundError:
            return False
    return True


def has_objects(config: Config, remote: str, names: list[str]) -> bool:
    """Whether `remote` has every one of `names`; False too when it does not answer."""
    try:
        with _objects(config, remote) as objects:
            return all(objects.exists(name) for name in names)
    except SourceUnavailable:
        return False


def download(root: Path, commit: str, path: str, *, is_dir: bool, folder: Path, config: Config) -> dict[str, Path]:
    """Get `path` of `commit`, in the clone at `root`, into `folder` through DVC; the files by their names in `path`.

    Raises ObjectMissing when DVC finds the bytes nowhere. Nothing is verified here.
    """
    from dvc.api import DVCFileSystem

    target = folder if is_dir else folder / Path(path).name
    settings = dvc_settings(config)
    try:
        files = DVCFileSystem(str(root), rev=commit, config=settings)
        if not is_dir:
            files.get_file(f"/{path}", str(target))
            return {target.name: target}
        places = {}
        for name in files.find(f"/{path}"):
            inner = str(name).removeprefix(f"/{path}").lstrip("/")
            if {"", ".", ".."} & set(inner.split("/")):
                raise ObjectCorrupt(f"{path} of commit {commit[:12]} names {inner!r}", fix="dvc push it again")
            place = folder / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(str(name), str(place))
            places[inner] = place
        return places
    except GitopsError:
        raise
    except Exception as error:  # a remote raises what its own library raises (botocore, aiohttp, asyncssh …)
        raise ObjectMissing(
            f"DVC cannot get {path} of commit {commit[:12]}",
            why=clean_line(str(error), 300),
            fix=f"dvc fetch {path} says more",
        ) from error


def md5(path: Path, kind: str) -> str:
    """The digest of a file as DVC makes it; `kind` is `md5`, or `md5-dos2unix` for DVC 2's."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import localfs

    return str(file_md5(str(path), localfs, name=kind))


@contextmanager
def _objects(config: Config, remote: str) -> Iterator[Any]:
    """The object store of a remote, opened in an empty project: the user's own is neither locked nor written to."""
    from dvc.repo import Repo

    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
        try:
            remotes = {"remote": dvc_settings(config).get("remote", {})}
            project = Repo(folder, uninitialized=True, config=remotes)
            try:
                yield project.cloud.get_remote_odb(remote, "fetch")
            finally:
                project.close()
        except FileNotFoundError:
            raise
        except Exception as error:  # a remote raises what its own library raises (botocore, aiohttp, asyncssh …)
            raise SourceUnavailable(
                f"the DVC remote {remote} cannot be read",
                why=clean_line(str(error), 300) or type(error).__name__,
                fix=f"dvc remote list; dvc pull -r {remote} says more",
            ) from error
