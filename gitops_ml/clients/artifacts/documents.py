"""DVC's and GTO's documents of a commit, each read once for a repository and then typed."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.files.yaml_scalars import DVC
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.documents import DvcFile, DvcLock, Pipeline
from gitops_ml.errors import InputError

Kind = TypeVar("Kind", Pipeline, DvcLock, DvcFile, dict[str, Any])


class Documents(Generic[Kind]):
    """The documents of one kind, kept by the ids of their blobs."""

    def __init__(self, kind: type[Kind]) -> None:
        self._kind: type[Kind] = kind
        self._memo: Memo[str, Kind] = Memo()

    def read(self, repo: Repository, commit: str, file: str) -> Kind | None:
        """The document at `file` of a commit, None where the commit has none.

        Raises `InputError` with file and line for what DVC would not read either.
        """
        entry = repo.entry(commit, file)
        if entry is None or not entry.mode.startswith("100"):
            return None
        documents = self._memo.of(repo)
        document = documents.get(entry.id)
        if document is None:
            data = repo.read_file(commit, file, DVC.max_bytes)
            if data is None:
                raise InputError(f"{file} is too large", why=f"at most {DVC.max_bytes} bytes are read")
            document = documents[entry.id] = parse(data, file, self._kind, DVC)
        return document


PIPELINES = Documents(Pipeline)
LOCKS = Documents(DvcLock)
DVC_FILES = Documents(DvcFile)
GTO_FILES: Documents[dict[str, Any]] = Documents(dict[str, Any])
