"""How many rows and groups held-out data has, so that `plan` can say of a rollout that it could never be judged.

The bytes are read once for each digest. The count is kept beside the repository, in a small file of our own.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.artifacts.source import ModelSource
from gitops_ml.clients.cache_file import write_whole
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.checks import Holdout
from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.verification.holdout_metrics import MIN_GROUPS
from gitops_ml.errors import GitopsError, InputError

_FILE = "gitops-ml/holdout-counts.json"
_MAX_KEPT = 200
"""Counts that are kept; the oldest go first."""


def require_enough(repo: Repository, commit: str, deployment: ResolvedDeployment) -> None:
    """Raises `InputError` where the rows that a commit pins cannot be judged by, or are too few.

    Data that cannot be had right now is passed over: the rollout will say so itself.
    """
    spec = deployment.declaration.verify.holdout
    if spec is None or deployment.holdout is None:
        return
    file = repo.git_dir / _FILE
    key = msgspec.json.encode([deployment.holdout, spec.data, spec.group, spec.rows]).decode()
    counts = _read(file)
    if key not in counts:
        try:
            data = ModelSource(repo).data(commit, spec.data, deployment.holdout)
        except GitopsError:
            return
        counts[key] = _count(data, spec)
        write_whole(file, msgspec.json.encode(dict(list(counts.items())[-_MAX_KEPT:])))
    if counts[key] < MIN_GROUPS:
        unit = f"groups of `{spec.group}`" if spec.group else "rows"
        raise InputError(
            f"{deployment.name}: {spec.data} holds {counts[key]} {unit}",
            why=f"fewer than {MIN_GROUPS} give no interval to rely on, so verify.holdout could never pass",
            fix="pin more of them in verify.holdout.data, or group by something finer",
        )


def _count(data: bytes, spec: Holdout) -> int:
    # Here, since pyarrow takes a fifth of a second and most passes count nothing new.
    from gitops_ml.clients.rows.holdout import groups_of, load_rows

    rows = load_rows(data, spec.data, spec.rows)
    return len(set(groups_of(rows, spec.group).tolist())) if spec.group else len(rows)


def _read(path: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return decode(path.read_bytes(), dict[str, int])
    return {}
