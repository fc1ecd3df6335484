"""Which record files of an environment change, by what its journal holds and Git does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.records import former_path, read_former, readable_records, recorded_files, write_record
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.records.record import Record, record_path, updated, wants_retrain


class RecordChanges(NamedTuple):
    """The records as they are in Git, the deployments whose records change, and the files that do."""

    present: Mapping[str, Record]
    changed: tuple[str, ...]
    files: dict[str, bytes | None]


def record_changes(
    repo: Repository, declared: EnvironmentFiles, state: EnvironmentState, engine: str, commit: str = ""
) -> RecordChanges:
    """The changes: the records of unrecorded attempts, those that name another engine, those that a host lacks, and
    those that are at their former paths: see `read_former`.

    Args:
        engine: the engine's own id.
        commit: where the present records are read; see `recorded_files`.
    """
    environment = declared.full_name
    former = read_former(repo, declared, commit)
    former = {name: record for name, record in former.items() if not declared.host or record.engine == engine}
    present = former | readable_records(repo, environment, recorded_files(repo, declared, commit))
    changed = {attempt.deployment for attempt in state.unrecorded} | former.keys()
    changed |= {name for name, record in present.items() if record.engine != engine}
    if declared.host:
        changed |= {name for name, deployment in state.deployments.items() if deployment.serving} - present.keys()
    asking = {a.id for a in state.unrecorded if wants_retrain(a, declared.deployments.get(a.deployment))}
    files: dict[str, bytes | None] = {former_path(declared, name): None for name in former}
    for name in sorted(changed):
        record = updated(present.get(name), state.of(name), name, engine, asking)
        files[record_path(environment, name)] = write_record(record)
    return RecordChanges(present, tuple(sorted(changed)), files)
