"""What changed between two versions of a model: what they were made of, and what they answer to the same rows.

All but the answers is read from Git and DVC. The answers come from both models themselves, each in a container.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.artifacts.model_files import REQUIREMENTS
from gitops_ml.artifacts.requirements import pins
from gitops_ml.clients.artifacts.lookup import made, resolve_path
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.lineage import Made, changes
from gitops_ml.errors import GitopsError, ModelRejected
from gitops_ml.retraining import versions
from gitops_ml.retraining.model_runner import ModelUnderTest
from gitops_ml.retraining.predictions import Predictions, ask_both

Pair = tuple[Any, Any]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two versions. `learnt` is its training range and `rows` their number, as its manifest says."""

    version: str
    tag: str | None
    commit: str
    digest: str
    learnt: tuple[str | None, str | None] | None
    rows: int | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """From A to B. Each change is (in A, in B), None where one has none."""

    model: str
    a: Side
    b: Side
    metrics: dict[str, Pair]
    params: dict[str, Pair]
    data: dict[str, Pair]
    files: dict[str, dict[str, list[str]]]
    code: dict[str, Pair]
    dependencies: dict[str, Pair]
    predictions: Predictions | None
    unanswered: str = ""


def difference(
    repo: Repository,
    model: str,
    version_a: str,
    version_b: str,
    *,
    data: str | None = None,
    group: str | None = None,
    engine: Engine | None = None,
    allow_pickle: bool = False,
) -> Difference:
    """What changed from A to B; without `engine`, all but the predictions.

    Args:
        data: labelled rows, as B's commit has them; the gate's when None.
        group: column of dependent rows; the gate's when None.
        allow_pickle: let a joblib file be loaded, in its container.

    Raises `VersionError` when one of them does not resolve, and `InputError` for rows that were asked for by name.
    """
    a, b = (versions.find_version(repo, model, version) for version in (version_a, version_b))
    files_a, files_b = versions.artifact(repo, a), versions.artifact(repo, b)
    made_a, made_b = made(repo, a), made(repo, b)
    inputs = changes(made_a.inputs, made_b.inputs)
    tracked = {path for path in inputs if _is_data(repo, a.commit, path) or _is_data(repo, b.commit, path)}
    between = changes(made_a.data, made_b.data) | {path: inputs[path] for path in sorted(tracked)}
    env = {"GITOPS_ML_ALLOW_PICKLE": "1"} if allow_pickle else {}
    panel = {
        "model-a": ModelUnderTest(held=a, files=files_a, env=env),
        "model-b": ModelUnderTest(held=b, files=files_b, env=env),
    }
    predictions, unanswered = None, "" if engine else "not asked for"
    if engine is not None:
        try:
            predictions = ask_both(repo, engine, panel, data, group)
        except GitopsError as error:
            if data is not None:
                raise
            unanswered = str(error)
    return Difference(
        model=model,
        a=_side(a, panel["model-a"]),
        b=_side(b, panel["model-b"]),
        metrics=changes(versions.metrics(repo, a.commit), versions.metrics(repo, b.commit)),
        params=changes(made_a.params, made_b.params),
        data=between,
        files={path: found for path in between if (found := _files(repo, a, b, path))},
        code={path: pair for path, pair in inputs.items() if path not in tracked},
        dependencies=changes(_pins(files_a), _pins(files_b)),
        predictions=predictions,
        unanswered=unanswered,
    )


def new_inputs(before: Made, after: Made) -> list[str]:
    """What a model is made of that has changed: data, code and parameters, by name. Empty: nothing is new."""
    found = [*changes(before.data, after.data), *changes(before.inputs, after.inputs)]
    return sorted(found) + sorted(changes(before.params, after.params))


def _side(held: ResolvedVersion, panelist: ModelUnderTest) -> Side:
    try:
        training = panelist.manifest.training
    except ModelRejected:
        training = None
    return Side(
        version=held.version,
        tag=held.tag,
        commit=held.commit,
        digest=held.digest,
        learnt=(training.from_, training.to) if training else None,
        rows=training.rows if training else None,
    )


def _pins(files: Mapping[str, bytes]) -> dict[str, str]:
    return pins(files.get(REQUIREMENTS, b"").decode("utf-8", "replace"))


def _is_data(repo: Repository, commit: str, path: str) -> bool:
    """Whether DVC has it, and not Git: code is what people review."""
    try:
        return resolve_path(repo, commit, path).kind != "git"
    except GitopsError:
        return False


def _files(repo: Repository, a: ResolvedVersion, b: ResolvedVersion, path: str) -> dict[str, list[str]]:
    before, after = versions.files_of(repo, a.commit, path), versions.files_of(repo, b.commit, path)
    if not before or not after:
        return {}
    both = before.keys() & after.keys()
    found = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in both if before[name] != after[name]),
    }
    return {kind: names for kind, names in found.items() if names}
