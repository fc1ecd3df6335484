"""Records as they were parsed before, for the page: parsing YAML takes a hundred times as long as reading this."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from gitops_ml import __version__
from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.cache_file import write_whole
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.records import read_record, recorded_files
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.records.record import Record, record_path

_Parsed = dict[str, Record]
"""Records by the digest of their files."""


def cached_records(repo: Repository, declared: EnvironmentFiles) -> dict[str, Record]:
    """The readable records of an environment, as `read_records`; only files that have changed are parsed."""
    # Another release may keep other parts of a record.
    key = hashlib.sha256(f"{__version__} {declared.full_name}".encode()).hexdigest()[:16]
    cache = repo.cache / "records" / f"{key}.json"
    before, parsed = _read(cache), _Parsed()
    records = {}
    for name, data in recorded_files(repo, declared).items():
        digest = hashlib.sha256(data).hexdigest()
        record = before.get(digest) or read_record(data, record_path(declared.full_name, name))
        if record:
            records[name] = parsed[digest] = record
    if parsed.keys() != before.keys():
        write_whole(cache, msgspec.json.encode(parsed))
    return records


def _read(cache: Path) -> _Parsed:
    try:
        return decode(cache.read_bytes(), _Parsed)
    except (OSError, msgspec.MsgspecError):
        return {}
