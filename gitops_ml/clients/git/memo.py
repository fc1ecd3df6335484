"""What a module has made of a repository's objects, kept for as long as the repository is open."""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from gitops_ml.clients.git.repository import Repository

Key = TypeVar("Key")
Value = TypeVar("Value")
_KEPT = 5000


class Memo(Generic[Key, Value]):
    """One dictionary per repository. It belongs to the module that makes it; deployments in threads share it."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Repository, dict[Key, Value]] = WeakKeyDictionary()

    def of(self, repo: Repository) -> dict[Key, Value]:
        """The dictionary of `repo`, emptied when it is too large: an agent's passes go on for ever."""
        kept = self._kept.setdefault(repo, {})
        if len(kept) > _KEPT:
            kept.clear()
        return kept
