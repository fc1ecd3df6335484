"""Record files, read and written, always in bounded size.

They are `environments/<environment>/records/<deployment>.yaml`, and `records/<host>/<deployment>.yaml` where the
environment has several hosts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import msgspec
import yaml

from gitops_ml.artifacts.decoding import convert
from gitops_ml.clients.files.environments import ROOT, EnvironmentFiles
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES, OWN
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.hosts import full_name, split_full_name
from gitops_ml.core.records.joined import joined
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
    """The readable records of an environment, from the branch that its policy names, by deployment.

    Where several hosts are meant, the records of a deployment are joined to one: see `joined`.
    """
    if declared.host or not declared.environment.hosts:
        return _readable(repo, declared.full_name, recorded_files(repo, declared))
    by_host = read_host_records(repo, declared, list(declared.environment.hosts))
    names = sorted({name for records in by_host.values() for name in records})
    return {name: joined([records.get(name) for records in by_host.values()]) for name in names}


def read_host_records(
    repo: Repository, declared: EnvironmentFiles, hosts: Collection[str], deployment: str | None = None
) -> dict[str, dict[str, Record]]:
    """The readable records of some of the environment's hosts, by host and deployment; of all deployments, or one."""
    contents = _contents(repo, declared)
    return {
        host: _readable(
            repo,
            full_name(declared.name, host),
            {n: data for n, data in _of_host(contents, host).items() if deployment in (None, n)},
        )
        for host in hosts
    }


_PARSED: Memo[str, tuple[bytes, Record | None]] = Memo()
"""By path, the content that was parsed last, and its record. Most records stay as they are from pass to pass."""


def _readable(repo: Repository, environment: str, files: Mapping[str, bytes]) -> dict[str, Record]:
    parsed, records = _PARSED.of(repo), {}
    for name, data in files.items():
        path = record_path(environment, name)
        kept = parsed.get(path)
        if kept is None or kept[0] != data:
            kept = parsed[path] = data, read_record(data, path)
        if kept[1]:
            records[name] = kept[1]
    return records


def recorded_files(repo: Repository, declared: EnvironmentFiles) -> dict[str, bytes]:
    """The record files of an environment with one engine, or of one host, by deployment; see `read_records`."""
    return _of_host(_contents(repo, declared), declared.host)


def _contents(repo: Repository, declared: EnvironmentFiles) -> Mapping[str, bytes]:
    tip = records_commit(repo, declared)
    return declared.records if tip == declared.commit else _contents_at(repo, tip, declared.name)


def _of_host(contents: Mapping[str, bytes], host: str) -> dict[str, bytes]:
    """The record files of one host, or of none, by deployment."""
    parts = {path: path.removesuffix(".yaml").rpartition("/") for path in contents if path.endswith(".yaml")}
    return {name: contents[path] for path, (folder, _, name) in parts.items() if folder == host}


def records_commit(repo: Repository, declared: EnvironmentFiles) -> str:
    """The commit with an environment's newest records: the tip of the branch that its policy names, if it is there."""
    branch = declared.environment.records.branch
    return (repo.find_tip(branch) if branch and branch != repo.branch else None) or declared.commit


def record_files(repo: Repository, commit: str, environment: str) -> dict[str, bytes]:
    """The record files of an environment, by its full name, at a commit, by deployment.

    One that is too large to be read is left out.
    """
    name, host = split_full_name(environment)
    return _of_host(_contents_at(repo, commit, name), host)


def _contents_at(repo: Repository, commit: str, environment: str) -> dict[str, bytes]:
    folder = f"{ROOT}/{environment}/records/"
    files = repo.read_files(commit, folder, limit=MAX_BYTES)
    return {path.removeprefix(folder): file.data for path, file in files.items() if file.data is not None}


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
