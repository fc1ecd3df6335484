"""Record files, read and written, always in bounded size.

They are `environments/<environment>/records/<deployment>.yaml`, and `records/<host>/<deployment>.yaml` where the
environment has several hosts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping

import msgspec
import yaml

from gitops_ml.artifacts.decoding import convert
from gitops_ml.clients.files.environments import ROOT, EnvironmentFiles
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.clients.files.yaml_scalars import MAX_BYTES, OWN
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.objects import TreeEntry
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.hosts import LOCAL_ENGINE, full_name, host_name
from gitops_ml.core.records.joined import joined
from gitops_ml.core.records.record import Record, RecordedAttempt, newest_key, record_path
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
        return readable_records(repo, declared.full_name, recorded_files(repo, declared))
    by_host = read_host_records(repo, declared, list(declared.environment.hosts))
    names = sorted({name for records in by_host.values() for name in records})
    return {name: joined([records.get(name) for records in by_host.values()]) for name in names}


def read_host_records(
    repo: Repository, declared: EnvironmentFiles, hosts: Collection[str], deployment: str | None = None
) -> dict[str, dict[str, Record]]:
    """The readable records of some of the environment's hosts, by host and deployment; of all deployments, or one."""
    contents = _contents(repo, declared)
    return {
        host: readable_records(
            repo,
            full_name(declared.name, host),
            {n: data for n, data in _of_host(contents, host).items() if deployment in (None, n)},
        )
        for host in hosts
    }


_PARSED: Memo[str, tuple[bytes, Record | None]] = Memo()
"""By path, the content that was parsed last, and its record. Most records stay as they are from pass to pass."""


def readable_records(repo: Repository, environment: str, files: Mapping[str, bytes]) -> dict[str, Record]:
    """The records in these files, by deployment, without those that cannot be read."""
    parsed, records = _PARSED.of(repo), {}
    for name, data in files.items():
        path = record_path(environment, name)
        kept = parsed.get(path)
        if kept is None or kept[0] != data:
            kept = parsed[path] = data, read_record(data, path)
        if kept[1]:
            records[name] = kept[1]
    return records


def recorded_files(repo: Repository, declared: EnvironmentFiles, commit: str = "") -> dict[str, bytes]:
    """The record files of an environment with one engine, or of one host, by deployment; see `read_records`.

    Args:
        commit: where to read them; by default, the newest of the branch that the policy names.
    """
    contents = _contents(repo, declared, commit)
    former = {} if declared.host else _of_host(contents, _former_host(declared))
    return _of_host(contents, declared.host) | former


def read_former(repo: Repository, declared: EnvironmentFiles, commit: str = "") -> dict[str, Record]:
    """The readable records at their former paths, by deployment: a pass moves them after `engine` became `engines`, or
    the other way round. See `former_path`.

    An environment with one engine reads them as its own, since its host has the same address. A host never does: they
    may be those of another one. Arguments are those of `recorded_files`.
    """
    return readable_records(
        repo, declared.full_name, _of_host(_contents(repo, declared, commit), _former_host(declared))
    )


def former_path(declared: EnvironmentFiles, deployment: str) -> str:
    """The former path of a record, which it had when the environment had one engine; or several, in case it has one."""
    return record_path(full_name(declared.name, _former_host(declared)), deployment)


def _former_host(declared: EnvironmentFiles) -> str:
    return "" if declared.host else host_name(declared.engine or LOCAL_ENGINE)


def read_attempts(repo: Repository, declared: EnvironmentFiles) -> dict[str, list[tuple[str, RecordedAttempt]]]:
    """All recorded attempts, each with its host, by deployment, the newest first: of one host where one is meant.

    The host is empty for an attempt that was made while the environment had one engine.
    """
    attempts: dict[str, list[tuple[str, RecordedAttempt]]] = {}
    contents = _contents(repo, declared)
    for host in sorted({path.rpartition("/")[0] for path in contents}):
        if declared.host in ("", host):
            for name, record in readable_records(
                repo, full_name(declared.name, host), _of_host(contents, host)
            ).items():
                attempts.setdefault(name, []).extend((host, attempt) for attempt in record.attempts)
    return {
        name: sorted(listed, key=lambda each: (*newest_key(each[1]), each[0]), reverse=True)
        for name, listed in attempts.items()
    }


def _contents(repo: Repository, declared: EnvironmentFiles, commit: str = "") -> Mapping[str, bytes]:
    commit = commit or records_commit(repo, declared)
    return declared.records if commit == declared.commit else _contents_at(repo, commit, declared.name)


def _of_host(contents: Mapping[str, bytes], host: str) -> dict[str, bytes]:
    """The record files of one host, or of none, by deployment."""
    parts = {path: path.removesuffix(".yaml").rpartition("/") for path in contents if path.endswith(".yaml")}
    return {name: contents[path] for path, (folder, _, name) in parts.items() if folder == host}


def records_commit(repo: Repository, declared: EnvironmentFiles) -> str:
    """The commit with an environment's newest records: the tip of the branch that its policy names, if it is there."""
    branch = declared.environment.records.branch
    return (repo.find_tip(branch) if branch and branch != repo.branch else None) or declared.commit


def content_ids(repo: Repository, commit: str) -> tuple[str, str]:
    """Identify the content of all records of a commit, and of everything else in it."""
    records: list[tuple[str, TreeEntry]] = []
    rest = [(name, entry) for name, entry in repo.entries(commit).items() if name != ROOT]
    for folder, entry in repo.entries(commit, ROOT).items():
        within = repo.entries(commit, f"{ROOT}/{folder}") if entry.is_folder else {"": entry}
        for name, part in within.items():
            (records if name == "records" else rest).append((f"{ROOT}/{folder}/{name}", part))
    first, second = (hashlib.sha256(repr(sorted(each)).encode()).hexdigest() for each in (records, rest))
    return first, second


def _contents_at(repo: Repository, commit: str, environment: str) -> dict[str, bytes]:
    """The record files of all hosts at a commit. One that is too large to be read is left out."""
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
