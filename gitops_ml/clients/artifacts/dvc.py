"""What only DVC itself can do: remotes that are no local folder, imports, cloud versions, objects of DVC 2.x.

The only importer of DVC. Its import takes a second, so each function imports it: most passes need none of them.
"""

from __future__ import annotations

import io
import math
import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gitops_ml.clients.artifacts.scratch import scratch_folder
from gitops_ml.core.reach import HOST_OPTIONS
from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError, InputError, ObjectCorrupt, ObjectMissing, SourceUnavailable

TEMPLATE = "${"
Settings = Callable[[Path], dict[str, Any]]
"""Makes what DVC is told of a configuration, given a folder for what DVC keeps for itself."""
_MAX_RESOLVED = 256 << 20
"""Bytes that all templates of a dvc.yaml may stand for."""
_MAX_GENERATED = 100_000
"""Stages that one `matrix` may generate."""


def download_object(settings: Settings, remote: str, name: str, target: Path) -> bool:
    """Get the object `name` of `remote` into `target`; False when the remote does not have it.

    Raises SourceUnavailable when the remote does not answer. The bytes are not verified here.
    """
    with _objects(settings, remote) as objects:
        try:
            objects.fs.get_file(objects.oid_to_path(name), str(target))
        except FileNotFoundError:
            return False
    return True


def has_objects(settings: Settings, remote: str, names: list[str]) -> bool:
    """Whether `remote` has every one of `names`; False too when it does not answer."""
    try:
        with _objects(settings, remote) as objects:
            return all(objects.exists(name) for name in names)
    except SourceUnavailable:
        return False


def download(
    root: Path, commit: str, path: str, *, is_dir: bool, folder: Path, settings: dict[str, Any]
) -> dict[str, Path]:
    """Get `path` of `commit`, in the clone at `root`, into `folder` through DVC; the files by their names in `path`.

    Raises ObjectMissing when DVC finds the bytes nowhere. Nothing is verified here.
    """
    from dvc.api import DVCFileSystem
    from dvc.repo import Repo

    target = folder if is_dir else folder / Path(path).name
    try:
        # A path instead of a `Repo` would make DVC open the clone once more, with the repository's own configuration.
        with Repo(str(root), rev=commit, config=settings, uninitialized=True) as project:
            if "repo" in project.config.files:  # the commit has a configuration
                _require_no_program(project.config.read("repo"), commit)
            files = DVCFileSystem(project)
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
            fix=f"restore the remote or the repository that it comes from, until this works: dvc pull {path}",
        ) from error


def _require_no_program(config: dict[str, Any], commit: str) -> None:
    """Raise InputError if the configuration of an older commit, which DVC merges into ours, names a program."""
    for remote, options in config.get("remote", {}).items():
        if named := sorted(HOST_OPTIONS & options.keys()):
            raise InputError(
                f".dvc/config of commit {commit[:12]} sets `{named[0]}` of the remote {remote}",
                why="whoever can push could name a program there that would run on this machine, or a file of it",
                fix=f"remove it, and register a version of a later commit; set it for this clone alone: "
                f"dvc remote modify --local {remote} {named[0]} <value>",
            )


class Resolver:
    """Resolves the templates of one dvc.yaml, as DVC does: https://dvc.org/doc/user-guide/project-structure/dvcyaml-files#templating.

    Args:
        file: the path of the dvc.yaml.
        content: what to resolve of it, and its `vars`.
        read: reads a file of variables by its path, bounded; None where there is none.

    Raises:
        InputError: DVC cannot resolve it, or it resolves to too much. So do the methods.
    """

    def __init__(self, file: str, content: dict[str, Any], read: Callable[[str], bytes | None]) -> None:
        from dvc.parsing import DataResolver

        self._file = file
        self._read = read
        self._left = _MAX_RESOLVED - len(str(content))
        self._expressions = str(content).count(TEMPLATE)
        project = SimpleNamespace(fs=self, config={})
        with self._translate_errors():
            self._resolver = DataResolver(project, posixpath.dirname(file), content)

    def stage(self, name: str) -> dict[str, Any] | None:
        """The stage of this name, a generated one too; None if there is none."""
        from dvc.parsing import MatrixDefinition
        from dvc.parsing.interpolate import to_str

        with self._translate_errors():
            definition = self._resolver.definitions.get(name.rpartition("@")[0])
            if isinstance(definition, MatrixDefinition):
                count = math.prod(len(values) for values in definition.resolved_iterable.values())
                if count > _MAX_GENERATED:
                    raise self._too_much(f"`{definition.name}` generates {count} stages")
            if not self._resolver.has_key(name):
                return None
            spec = dict(self._resolver.resolve_one(name)[name])
            return spec | ({"wdir": to_str(spec["wdir"])} if "wdir" in spec else {})

    def artifacts(self) -> dict[str, Any]:
        """What is under `artifacts:`, by name."""
        with self._translate_errors():
            return dict(self._resolver.resolve_artifacts())

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except GitopsError:
            raise
        except Exception as error:  # beside its own errors, DVC raises what its assertions and parsers raise
            raise InputError(
                f"{self._file}: a template cannot be resolved",
                why=clean_line(str(error), 300) or type(error).__name__,
                fix="dvc repro --dry says more",
            ) from error

    def _too_much(self, what: str) -> InputError:
        return InputError(f"{self._file}: {what}", why="so much is not resolved", fix=f"edit {self._file}")

    # What DVC asks of a file system: the files of the commit.

    join, normpath = staticmethod(posixpath.join), staticmethod(posixpath.normpath)

    def suffix(self, path: str) -> str:
        return posixpath.splitext(path)[1]

    def isdir(self, path: str) -> bool:
        return False

    def exists(self, path: str) -> bool:
        return self._read(posixpath.normpath(path)) is not None

    def open(self, path: str, encoding: str) -> io.StringIO:
        data = self._read(posixpath.normpath(path)) or b""
        self._left -= len(data)
        # Each expression stands for at most the longest value, which is no longer than all files together.
        if self._expressions * (_MAX_RESOLVED - self._left) > _MAX_RESOLVED or self._left < 0:
            raise self._too_much(f"its templates may stand for more than {_MAX_RESOLVED} bytes")
        return io.StringIO(data.decode(encoding))


def md5(path: Path, kind: str) -> str:
    """The digest of a file as DVC makes it; `kind` is `md5`, or `md5-dos2unix` for DVC 2's."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import localfs

    return str(file_md5(str(path), localfs, name=kind))


@contextmanager
def _objects(settings: Settings, remote: str) -> Iterator[Any]:
    """The object store of a remote, opened in an empty project: the user's own is neither locked nor written to."""
    from dvc.repo import Repo

    with scratch_folder() as folder:
        try:
            project = Repo(str(folder), uninitialized=True, config=settings(folder))
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
                fix=f"correct its url or credentials (see dvc remote list) until this works: dvc pull -r {remote}",
            ) from error
