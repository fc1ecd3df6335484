"""Record files, `environments/<environment>/records/<deployment>.yaml`: read and written, always in bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec
import yaml

from gitops_ml.artifacts.decoding import convert
from gitops_ml.clients.files.environments import ROOT, EnvironmentFiles
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES, OWN
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.records.record import Record, record_path
from gitops_ml.errors import InputError

RECORD_PATH = re.compile(rf"{ROOT}/[^/]+/records/.+")
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_KEPT = (10, 5, 2, 1)
"""How many of the newest attempts stay whole, tried one after the other until a record is small enough."""


def read_record(data: bytes, path: str) -> Record | None:
    """Parse a record file. None when it cannot be read: a record that someone broke must not stop a rollout."""
    try:
        return convert(load(data, path, OWN), Record)
    except (InputError, msgspec.ValidationError):
        return None


def read_records(repo: Repository, declared: EnvironmentFiles) -> dict[str, Record]:
    """The readable records of an environment, from the branch that its policy names."""
    files = recorded_files(repo, declared)
    records = {name: read_record(data, record_path(declared.name, name)) for name, data in files.items()}
    return {name: record for name, record in records.items() if record is not None}


def recorded_files(repo: Repository, declared: EnvironmentFiles) -> Mapping[str, bytes]:
    """The record files of an environment, from the branch that its policy names, by deployment."""
    tip = records_commit(repo, declared)
    return declared.records if tip == declared.commit else record_files(repo, tip, declared.name)


def records_commit(repo: Repository, declared: EnvironmentFiles) -> str:
    """The commit with an environment's newest records: the tip of the branch that its policy names, if it is there."""
    branch = declared.environment.records.branch
    return (repo.find_tip(branch) if branch and branch != repo.branch else None) or declared.commit


def record_files(repo: Repository, commit: str, environment: str) -> dict[str, bytes]:
    """The record files of an environment at a commit, by deployment; one that is too large to be read is left out."""
    folder = f"{ROOT}/{environment}/records"
    files = repo.read_files(commit, folder, limit=MAX_BYTES)
    return {path.rsplit("/", 1)[1].removesuffix(".yaml"): f.data for path, f in files.items() if f.data is not None}


def write_record(record: Record) -> bytes:
    """A record file's content, never larger than `read_record` reads.

    Where it would be, the oldest attempts lose their logs first, then their checks, then their place.
    """
    content = b""
    for smaller in _ever_smaller(record):
        content = _dump(smaller)
        if len(content) <= MAX_BYTES:
            break
    return content


def _ever_smaller(record: Record) -> Iterator[Record]:
    yield record
    attempts = record.attempts
    for kept in _KEPT:
        attempts = attempts[:kept] + tuple(msgspec.structs.replace(a, logs=()) for a in attempts[kept:])
        yield msgspec.structs.replace(record, attempts=attempts)
    for kept in (*_KEPT, 0):
        attempts = attempts[:kept] + tuple(msgspec.structs.replace(a, checks=()) for a in attempts[kept:])
        yield msgspec.structs.replace(record, attempts=attempts)
    for kept in (*_KEPT, 0):
        yield msgspec.structs.replace(record, attempts=attempts[:kept])


def _dump(record: Record) -> bytes:
    head = "# Written by gitops-ml. Edits are overwritten, and a pull request that makes one fails `gitops-ml plan`.\n"
    content = msgspec.to_builtins(record)
    if record.retrain is None:
        del content["retrain"]
    body = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return (head + body).encode()
