"""The files and folders of a commit, read from Git's objects and never from a work tree.

GitPython's persistent `git cat-file` reads them: a pass reads hundreds, and a process costs 3 ms each.
"""

from __future__ import annotations

import os
import posixpath
import select
import threading
from typing import NamedTuple

import git
from git.compat import safe_decode
from git.objects.fun import tree_entries_from_data

from gitops_ml.clients.git.process import Git
from gitops_ml.errors import SourceError

_FOLDER, _SUBMODULE = "40000", "160000"
_CHUNK = 1 << 20
KEPT = 5000
"""How many folders are kept between passes."""


class Object(NamedTuple):
    """One Git object. `data` is None when it is larger than the reader's limit; `size` is in bytes all the same."""

    id: str
    type: str
    size: int
    data: bytes | None


class TreeFile(NamedTuple):
    """One file of a commit's tree.

    `mode` as in Git: 100644, 100755, 120000 (a symbolic link, `data` is where it points), 160000 (a submodule, without
    data). `data` is None when it is larger than the limit asked for; `size` is in bytes all the same.
    """

    mode: str
    id: str
    size: int
    data: bytes | None

    @property
    def regular(self) -> bool:
        return self.mode in ("100644", "100755", "100664")


class TreeEntry(NamedTuple):
    """One name in a folder of a commit: its mode as in Git (folders are 40000) and the object's id."""

    mode: str
    id: str

    @property
    def is_folder(self) -> bool:
        return self.mode == _FOLDER


class _ReaderEnded(Exception):
    """`git cat-file` ended in the middle of an answer. Its last words are the message."""


class Objects:
    """The objects of one repository, by commit and path. Folders are kept, since most reads share them."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self._trees: dict[str, dict[str, TreeEntry]] = {}
        # GitPython's reader has one pipe, and deployments are brought up side by side.
        self._reading = threading.Lock()

    def trim(self) -> None:
        """Keep no more than fits: an agent's passes go on for ever."""
        if len(self._trees) > KEPT:
            self._trees.clear()

    def read_object(self, name: str, limit: int | None = None) -> Object | None:
        """The object that `name`, an id or any revision, names; None when there is none.

        Args:
            limit: an object larger than this many bytes comes without its data.

        Raises:
            SourceError: git cannot read in this repository.
        """
        # A name is one line of git's input. Git ends it at NUL and drops a carriage return: it would read another one.
        if not name or any(c < " " for c in name):
            return None
        with self._reading:
            for last in (False, True):
                try:
                    return self._read(name, limit)
                except _ReaderEnded as ended:
                    self.git.commands.clear_cache()
                    if last:
                        raise SourceError(
                            f"git cannot read objects in {self.git.folder}",
                            why=str(ended) or "git cat-file ended in the middle of an answer",
                            fix=f"git -C {self.git.folder} fsck",
                        ) from ended
        return None

    def _read(self, name: str, limit: int | None) -> Object | None:
        commands = self.git.commands
        if commands.cat_file_all is None:
            commands.cat_file_all = self.git.start("cat-file", "--batch")
            os.set_blocking(commands.cat_file_all.stderr.fileno(), False)
        reader: git.Git.AutoInterrupt = commands.cat_file_all
        try:
            _messages(reader)  # those of earlier reads; nobody else reads them, and a full pipe would block git
            identity, kind, size, stream = commands.stream_object_data(name)
            if limit is None or size <= limit:
                data = stream.read(size)
                read = len(data)
            else:
                data, read = None, sum(len(chunk) for chunk in iter(lambda: stream.read(_CHUNK), b""))
        except ValueError:
            if _at_end(reader):
                raise _ReaderEnded(_messages(reader)) from None
            return None
        except BrokenPipeError:
            raise _ReaderEnded(_messages(reader)) from None
        except BaseException:
            # The rest of an answer is still in the pipe, so this reader must not be asked again.
            reader.kill()
            raise
        if read != size:
            raise _ReaderEnded(_messages(reader))
        return Object(safe_decode(identity), safe_decode(kind), size, data)  # bytes, whatever their type says

    def entries(self, commit: str, folder: str = "") -> dict[str, TreeEntry]:
        """The names in `folder` of `commit`; empty when it is no folder there."""
        tree = self._tree(f"{commit}^{{tree}}")
        for name in filter(None, folder.split("/")):
            entry = tree.get(name)
            if entry is None or not entry.is_folder:
                return {}
            tree = self._tree(entry.id)
        return tree

    def _tree(self, name: str) -> dict[str, TreeEntry]:
        if name not in self._trees:
            tree = self.read_object(name)
            if tree is None:
                return {}  # not remembered: a later fetch may bring it
            try:
                # GitPython refuses names that no folder has, and that would lead out of where files are written.
                listed = tree_entries_from_data(tree.data or b"") if tree.type == "tree" else []
            except ValueError as error:
                raise SourceError(
                    f"a folder in {self.git.folder} is malformed", why=str(error), fix=f"git -C {self.git.folder} fsck"
                ) from error
            self._trees[name] = {path: TreeEntry(f"{mode:o}", identity.hex()) for identity, mode, path in listed}
        return self._trees[name]

    def entry(self, commit: str, path: str) -> TreeEntry | None:
        """The entry at `path` in `commit`, or None."""
        folder, _, name = path.strip("/").rpartition("/")
        return self.entries(commit, folder).get(name)

    def read_blob(self, commit: str, path: str, limit: int | None = None) -> Object | None:
        """The file or symbolic link at `path` in `commit`, or None. Without its data if larger than `limit` bytes."""
        entry = self.entry(commit, path)
        return self.read_object(entry.id, limit) if entry and entry.mode not in (_FOLDER, _SUBMODULE) else None

    def read_file(self, commit: str, path: str, limit: int | None = None) -> bytes | None:
        """The bytes of `read_blob`; None when there is none, or it is larger than `limit` bytes."""
        blob = self.read_blob(commit, path, limit)
        return blob.data if blob else None

    def read_files(self, commit: str, prefix: str, limit: int | None = None) -> dict[str, TreeFile]:
        """Every file below the folder `prefix` of `commit`, by its path in the repository, sorted.

        Args:
            limit: files larger than this many bytes come without data.
        """
        files: dict[str, TreeFile] = {}
        for path, entry in self.list_files(commit, prefix).items():
            blob = self.read_object(entry.id, limit) if entry.mode != _SUBMODULE else None
            files[path] = TreeFile(entry.mode, entry.id, blob.size if blob else 0, blob.data if blob else None)
        return files

    def list_files(self, commit: str, prefix: str = "") -> dict[str, TreeEntry]:
        """As `read_files`, without reading the files."""
        files: dict[str, TreeEntry] = {}
        folders = [(prefix.strip("/"), self.entries(commit, prefix))]
        while folders:
            folder, tree = folders.pop()
            for name, entry in tree.items():
                path = posixpath.join(folder, name)
                if entry.is_folder:
                    folders.append((path, self._tree(entry.id)))
                else:
                    files[path] = entry
        return dict(sorted(files.items()))


def _messages(reader: git.Git.AutoInterrupt) -> str:
    """What the reader has written to stderr."""
    try:
        return os.read(reader.stderr.fileno(), 1 << 16).decode("utf-8", "replace").strip()
    except BlockingIOError:
        return ""


def _at_end(reader: git.Git.AutoInterrupt) -> bool:
    """Whether the reader has ended. Between two answers its pipe is empty, so it is readable only at its end."""
    poller = select.poll()
    poller.register(reader.stdout, select.POLLIN)
    return bool(poller.poll(0))
