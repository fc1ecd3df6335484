"""What is in a commit: files and folders, read from Git's objects and never from a work tree."""

from __future__ import annotations

import posixpath
from typing import Any, NamedTuple

from gitops_ml.clients.git.process import Git, Object

_FOLDER, _SUBMODULE = "40000", "160000"
KEPT = 5000
"""How many objects are kept parsed between passes."""


class File(NamedTuple):
    """One entry of a commit's tree.

    `mode` as in Git: 100644, 100755, 120000 (a symbolic link, `data` is where it points), 160000 (a
    submodule, without data). `data` is None when it is larger than the limit asked for; `size` is in bytes
    all the same.
    """

    mode: str
    id: str
    size: int
    data: bytes | None

    @property
    def regular(self) -> bool:
        return self.mode in ("100644", "100755", "100664")


class Entry(NamedTuple):
    """One name in a folder of a commit: its mode as in Git (folders are 40000) and the object's id."""

    mode: str
    id: str

    @property
    def is_folder(self) -> bool:
        return self.mode == _FOLDER


class Objects:
    """The objects of one repository, by commit and path; folders are kept, since most reads share them."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self.parsed: dict[str, Any] = {}
        """What others made of objects, by object id: the same blob is parsed once in a pass."""
        self._trees: dict[str, dict[str, Entry]] = {}

    def trim(self) -> None:
        """Keep no more than fits: an agent's passes go on for ever."""
        if len(self.parsed) + len(self._trees) > KEPT:
            self.parsed.clear()
            self._trees.clear()

    def entries(self, commit: str, folder: str = "") -> dict[str, Entry]:
        """The names in `folder` of `commit`; empty when it is no folder there."""
        return self._tree(f"{commit}:{folder.strip('/')}")

    def _tree(self, name: str) -> dict[str, Entry]:
        if name not in self._trees:
            found = self.git.read_one(name)
            self._trees[name] = _parse_tree(found) if found is not None and found.type == "tree" else {}
        return self._trees[name]

    def entry(self, commit: str, path: str) -> Entry | None:
        """What `path` is in `commit`, or None."""
        folder, _, name = path.strip("/").rpartition("/")
        return self.entries(commit, folder).get(name)

    def read_file(self, commit: str, path: str, limit: int | None = None) -> bytes | None:
        """The bytes of the file `path` in `commit`; None when it is none, or larger than `limit` bytes."""
        found = self.git.read_one(f"{commit}:{path}", limit)
        return found.data if found is not None and found.type == "blob" else None

    def read_files(self, commit: str, prefix: str, limit: int | None = None) -> dict[str, File]:
        """Every file below the folder `prefix` of `commit`, by its path in the repository, sorted.

        Args:
            limit: files larger than this many bytes come without data.
        """
        listed = self.list_files(commit, prefix)
        objects = self.git.read((e.id for e in listed.values() if e.mode != _SUBMODULE), limit)
        files: dict[str, File] = {}
        for path, entry in listed.items():
            found = next(objects) if entry.mode != _SUBMODULE else None
            files[path] = File(entry.mode, entry.id, found.size if found else 0, found.data if found else None)
        return files

    def list_files(self, commit: str, prefix: str = "") -> dict[str, Entry]:
        """As `read_files`, without reading the files."""
        prefix = prefix.strip("/")
        level = {prefix: f"{commit}:{prefix}"}
        files: dict[str, Entry] = {}
        while level:
            missing = [name for name in level.values() if name not in self._trees]
            for name, found in zip(missing, self.git.read(missing), strict=True):
                self._trees[name] = _parse_tree(found) if found is not None and found.type == "tree" else {}
            below: dict[str, str] = {}
            for folder, tree in level.items():
                for name, entry in self._trees[tree].items():
                    path = posixpath.join(folder, name)
                    if entry.is_folder:
                        below[path] = entry.id
                    else:
                        files[path] = entry
            level = below
        return dict(sorted(files.items()))


def _parse_tree(tree: Object) -> dict[str, Entry]:
    data, length = tree.data or b"", len(tree.id) // 2
    entries: dict[str, Entry] = {}
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        end = data.index(b"\0", space)
        name = data[space + 1 : end].decode("utf-8", "surrogateescape")
        entries[name] = Entry(data[at:space].decode(), data[end + 1 : end + 1 + length].hex())
        at = end + 1 + length
    return entries
