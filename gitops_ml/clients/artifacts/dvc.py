"""What only DVC itself can do: remotes that are no local folder, imports, cloud versions, objects of DVC 2.x.

Importing DVC takes a second, so this module is imported only once nothing else has the bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitops_ml.clients.artifacts.store import Store, dvc_settings
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import ObjectMissing, SourceUnavailable


def download_object(store: Store, remote: str, name: str, target: Path) -> bool:
    """Get the object `name` of `remote` into `target`; False when the remote does not have it.

    Raises SourceUnavailable when the remote does not answer. Nothing is verified here.
    """
    with _objects(store, remote) as objects:
        try:
            objects.fs.get_file(objects.oid_to_path(name), str(target))
        except FileNotFoundError:
            return False
    return True


def has_objects(store: Store, remote: str, names: list[str]) -> bool:
    """Whether `remote` has every one of `names`; False too when it does not answer."""
    try:
        with _objects(store, remote) as objects:
            return all(objects.exists(name) for name in names)
    except SourceUnavailable:
        return False


def download(repo: Repository, commit: str, path: str, is_dir: bool, folder: Path, store: Store) -> dict[str, Path]:
    """Get `path` of `commit` into `folder` through DVC; the files by their names in `path`.

    Raises ObjectMissing when DVC finds the bytes nowhere. Nothing is verified here.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_objects.errors import ObjectDBError

    target = folder if is_dir else folder / Path(path).name
    settings = dvc_settings(store.config)
    try:
        files = DVCFileSystem(str(repo.root), rev=commit, config=settings)
        if not is_dir:
            files.get_file(f"/{path}", str(target))
            return {target.name: target}
        found = {}
        for name in files.find(f"/{path}"):
            inner = str(name).removeprefix(f"/{path}").lstrip("/")
            place = folder / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(str(name), str(place))
            found[inner] = place
        return found
    except (DvcException, ObjectDBError, OSError) as error:
        raise ObjectMissing(
            f"DVC cannot get {path} of commit {commit[:12]}", why=str(error)[:300], fix=f"dvc fetch {path} says more"
        ) from error


def md5(path: Path, kind: str) -> str:
    """The digest of a file as DVC makes it; `kind` is `md5`, or `md5-dos2unix` for DVC 2's."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import localfs

    return str(file_md5(str(path), localfs, name=kind))


@contextmanager
def _objects(store: Store, remote: str) -> Iterator[Any]:
    """The object store of a remote, from a project made up for it: the user's own is neither locked nor
    written to.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_objects.errors import ObjectDBError

    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
        try:
            project = Repo(folder, uninitialized=True, config=dvc_settings(store.config))
            try:
                yield project.cloud.get_remote_odb(remote, "fetch")
            finally:
                project.close()
        except FileNotFoundError:
            raise
        except (DvcException, ObjectDBError, OSError, ImportError) as error:
            raise SourceUnavailable(
                f"the DVC remote {remote} cannot be read",
                why=str(error)[:300] or type(error).__name__,
                fix=f"dvc remote list; dvc pull -r {remote} says more",
            ) from error
