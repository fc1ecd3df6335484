"""The journal: what was intended, judged and settled, on the volume of the environment's gateway.

Each entry is a new file: no entry is ever changed, or lost together with another. The file's name is the entry's place
in the order and a checksum of its content, so that an entry that a crash has cut off is ignored. The volume is on the
engine's host: the next pass, on any machine, reads what the last pass wrote, through `Snapshot.journal`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.errors import failed
from gitops_ml.clients.gateway.layout import JOURNAL, LONGEST_WORD, ROOT, script
from gitops_ml.errors import EngineFailed

_NAME = re.compile(r"(\d{10})-([0-9a-f]{16})\.json")
_AT_ONCE = 500  # names in one command line


def whole(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The whole entries among these files, by name, in their order."""
    entries = {}
    for name in sorted(files):
        match = _NAME.fullmatch(name)
        if match and match[2] == _checksum(files[name]):
            entries[name] = files[name]
    return entries


class Journal:
    """Appends to the journal of one environment. Only the lock's holder does.

    Args:
        container: a container that has the gateway's volume, running or not.
        names: the entries that were read (`Snapshot.journal`); new entries come after them.
    """

    def __init__(self, engine: Engine, container: str, names: Iterable[str]) -> None:
        self._engine = engine
        self._container = container
        self._last = max((int(m[1]) for name in names if (m := _NAME.fullmatch(name))), default=0)

    def moved_to(self, container: str) -> Journal:
        """The same journal, through another container that has the volume."""
        moved = Journal(self._engine, container, ())
        moved._last = self._last
        return moved

    def append(self, entries: Sequence[bytes]) -> list[str]:
        """Write entries in one call of the engine, and return their names. Raises `EngineFailed`."""
        files = {}
        for entry in entries:
            self._last += 1
            files[f"{self._last:010d}-{_checksum(entry)}.json"] = entry
        words = [word for name, entry in files.items() for word in (name, entry.decode())]
        if self._engine.has_shell(self._container) and sum(map(len, words)) <= LONGEST_WORD:
            self._by_shell(words)
        elif files:
            self._engine.put(self._container, f"{ROOT}/{JOURNAL}", files)
        return list(files)

    def _by_shell(self, words: Sequence[str]) -> None:
        """Write entries, each a name and a content, through an open shell: a twentieth of the time of an archive."""
        result = self._engine.exec_in_shell(self._container, script("write-journal"), words)
        if result.code != 0:
            raise failed("writing the journal", result.stderr.decode(errors="replace").strip())

    def compact(self, names: Iterable[str], summary: Sequence[bytes] = ()) -> list[str]:
        """Write `summary`, then remove the entries `names`, which it sums up. The container must run."""
        written = self.append(summary)
        dropped = [f"{ROOT}/{JOURNAL}/{name}" for name in names if _NAME.fullmatch(name) and name not in written]
        for at in range(0, len(dropped), _AT_ONCE):
            result = self._engine.exec(self._container, ["rm", "-f", "--", *dropped[at : at + _AT_ONCE]])
            if result.code != 0:
                why = result.stderr.decode(errors="replace").strip()
                raise EngineFailed("the journal could not be compacted", why=why)
        return written


def _checksum(entry: bytes) -> str:
    return hashlib.sha256(entry).hexdigest()[:16]
