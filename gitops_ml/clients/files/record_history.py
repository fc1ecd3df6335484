"""The attempts that records have dropped: a record holds the newest 20, and Git its earlier versions.

A version is read only where the next one dropped something. What was found is kept in a cache beside the clone, since
earlier versions of a file never change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.cache_file import write_whole
from gitops_ml.clients.files.environments import ROOT, EnvironmentFiles
from gitops_ml.clients.files.records import read_record, records_commit
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.journal.state import KEPT_ATTEMPTS
from gitops_ml.core.records.record import Record, RecordedAttempt, newest_first, record_path

MOST = 500
"""Attempts of one deployment that are read."""
CACHE = "attempts.json"


class _Found(msgspec.Struct, frozen=True):
    """The attempts of a record's versions, newest first, up to the version with this id."""

    newest: str
    attempts: tuple[RecordedAttempt, ...]


def all_attempts(
    repo: Repository, declared: EnvironmentFiles, records: Mapping[str, Record]
) -> dict[str, tuple[RecordedAttempt, ...]]:
    """The attempts of each record and of its earlier versions, the newest first, at most `MOST`.

    A shallow clone gives those that it has. An attempt that a later version tells otherwise is told as that one does.
    """
    attempts = {name: record.attempts for name, record in records.items()}
    full = [name for name, record in records.items() if len(record.attempts) >= KEPT_ATTEMPTS]
    if not full:
        return attempts
    cache = _read_cache(repo)
    versions = _versions(repo, declared)
    changed = False
    for name in full:
        path = record_path(declared.full_name, name)
        listed = versions.get(path, [])
        known = cache.get(path)
        if not known or not listed or known.newest != listed[0]:
            older = _older(repo, path, listed, records[name].attempts, known)
            cache[path] = known = _Found(listed[0] if listed else "", older)
            changed = True
        attempts[name] = known.attempts
    if changed:
        write_whole(repo.cache / CACHE, msgspec.json.encode(cache))
    return attempts


def _older(
    repo: Repository, path: str, versions: Sequence[str], newest: tuple[RecordedAttempt, ...], known: _Found | None
) -> tuple[RecordedAttempt, ...]:
    """Go back from version to version, in steps as long as they surely drop nothing between them."""
    seen = {attempt.id: attempt for attempt in newest}
    place, step = 0, KEPT_ATTEMPTS // 2
    while place < len(versions) - 1 and len(seen) < MOST:
        if known and known.newest in versions[place : place + 1]:
            seen = {attempt.id: attempt for attempt in known.attempts} | seen
            break
        step = min(step, len(versions) - 1 - place)
        if known and known.newest in versions[place : place + step]:
            step = versions.index(known.newest, place) - place
        blob = repo.read_object(versions[place + step], MAX_BYTES)
        record = read_record(blob.data, path) if blob and blob.data is not None else None
        attempts = record.attempts if record else ()
        overlap = any(attempt.id in seen for attempt in attempts)
        if not overlap and step > 1:
            step //= 2
            continue
        seen = {attempt.id: attempt for attempt in attempts} | seen
        place, step = place + step, KEPT_ATTEMPTS // 2
    return tuple(newest_first(seen.values())[:MOST])


def _versions(repo: Repository, declared: EnvironmentFiles) -> dict[str, list[str]]:
    """The ids of all versions of the record files, the newest first, by path."""
    versions: dict[str, list[str]] = {}
    for line in repo.list_objects(records_commit(repo, declared), f"{ROOT}/{declared.name}/records"):
        identity, _, path = line.partition(" ")
        if path.endswith(".yaml"):
            versions.setdefault(path, []).append(identity)
    return versions


def _read_cache(repo: Repository) -> dict[str, _Found]:
    try:
        return decode((repo.cache / CACHE).read_bytes(), dict[str, _Found])
    except (OSError, msgspec.MsgspecError):
        return {}
