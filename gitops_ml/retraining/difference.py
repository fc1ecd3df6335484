"""Differences of two versions of a model: their data, code, parameters and dependencies, and their answers.

Everything but the answers is read from Git and DVC. The answers come from both models, each in a container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gitops_ml.artifacts.model_files import REQUIREMENTS
from gitops_ml.artifacts.requirements import pins
from gitops_ml.clients.artifacts.path_digests import lineage_of, resolve_path
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.generation import ALLOW_PICKLE
from gitops_ml.core.verification.model_difference import Difference, Predictions, Side
from gitops_ml.core.versions.lineage import Lineage, changes
from gitops_ml.errors import GitopsError, ModelRejected
from gitops_ml.retraining import versions
from gitops_ml.retraining.model_runner import ModelUnderTest
from gitops_ml.retraining.predictions import GateRows, RowsToAsk, ask_both, read_rows, require_loadable


def difference(
    repo: Repository, model: str, between: tuple[str, str], connect: Callable[[], Engine] | None, rows: RowsToAsk
) -> Difference:
    """Compare version A with version B of a model.

    Args:
        between: A and B.
        connect: connects to the engine where both models are asked for `rows`; None leaves the predictions out.

    Raises `VersionError` if a version does not resolve, and `InputError` if rows that `rows.data` names cannot be read.
    An engine or a model that does not answer costs the predictions alone.
    """
    if connect is None:
        rows = rows._replace(applications={})  # nobody is asked
    a, b = _under_test(repo, model, between, rows)
    made_a, made_b = lineage_of(repo, a.resolved), lineage_of(repo, b.resolved)
    commits = (a.resolved.commit, b.resolved.commit)
    inputs = changes(made_a.inputs, made_b.inputs)
    tracked = {path for path in inputs if any(_is_data(repo, commit, path) for commit in commits)}
    metrics_a, metrics_b = (versions.metrics(repo, commit) for commit in commits)
    pins_a, pins_b = _pins(a.files), _pins(b.files)
    sources = made_a.inputs or made_b.inputs
    either = {
        "metrics": metrics_a or metrics_b,
        "params": made_a.params or made_b.params,
        "data": made_a.data or made_b.data or sources,
        "code": sources,
        "dependencies": pins_a or pins_b,
    }
    data = changes(made_a.data, made_b.data) | {path: inputs[path] for path in sorted(tracked)}
    predictions, unanswered = None, "" if connect else "not asked for"
    if connect is not None:
        try:
            judged = read_rows(repo, b.resolved.commit, model, rows)
        except GitopsError as error:
            if rows.data is not None:
                raise
            judged, unanswered = None, str(error)
        if judged is not None:
            predictions, unanswered = _predictions(repo, connect, (a, b), rows, judged)
    return Difference(
        model=model,
        a=_side(a),
        b=_side(b),
        metrics=changes(metrics_a, metrics_b),
        params=changes(made_a.params, made_b.params),
        data=data,
        files={path: names for path in data if (names := _files(repo, commits, path))},
        code={path: pair for path, pair in inputs.items() if path not in tracked},
        dependencies=changes(pins_a, pins_b),
        predictions=predictions,
        absent=tuple(name for name, values in either.items() if not values),
        unanswered=unanswered,
    )


def _predictions(
    repo: Repository,
    connect: Callable[[], Engine],
    models: tuple[ModelUnderTest, ModelUnderTest],
    asked: RowsToAsk,
    judged: GateRows,
) -> tuple[Predictions | None, str]:
    """The predictions of both models, or why there are none."""
    try:
        require_loadable(models, asked)
        with connect() as engine:
            return ask_both(repo, engine, models, asked, judged), ""
    except GitopsError as error:
        return None, str(error)


def _under_test(
    repo: Repository, model: str, between: tuple[str, str], rows: RowsToAsk
) -> tuple[ModelUnderTest, ModelUnderTest]:
    env = {ALLOW_PICKLE: "1"} if rows.allow_pickle else {}
    applications = versions.applications(repo, model) if rows.applications is None else rows.applications

    def under_test(version: str) -> ModelUnderTest:
        resolved = versions.find_version(repo, model, version)
        files = versions.artifact(repo, resolved)
        return ModelUnderTest(resolved=resolved, files=files, env=env, application=applications.get(resolved.version))

    return under_test(between[0]), under_test(between[1])


def new_inputs(before: Lineage, after: Lineage) -> list[str]:
    """Names of the data, code and parameters of a model that have changed; empty if none has."""
    names = [*changes(before.data, after.data), *changes(before.inputs, after.inputs)]
    return sorted(names) + sorted(changes(before.params, after.params))


def _side(model: ModelUnderTest) -> Side:
    resolved = model.resolved
    try:
        training = model.manifest.training
    except ModelRejected:
        training = None
    return Side(
        version=resolved.version,
        tag=resolved.tag,
        commit=resolved.commit,
        digest=resolved.digest,
        learnt=(training.from_, training.to) if training else None,
        rows=training.rows if training else None,
    )


def _pins(files: Mapping[str, bytes]) -> dict[str, str]:
    return pins(files.get(REQUIREMENTS, b"").decode("utf-8", "replace"))


def _is_data(repo: Repository, commit: str, path: str) -> bool:
    """Whether DVC holds the path rather than Git, which holds code."""
    try:
        return resolve_path(repo, commit, path).kind != "git"
    except GitopsError:
        return False


def _files(repo: Repository, commits: tuple[str, str], path: str) -> dict[str, list[str]]:
    """Names of the files of a DVC folder that were added, removed or changed."""
    before, after = (versions.files_of(repo, commit, path) for commit in commits)
    if not before or not after:
        return {}
    both = before.keys() & after.keys()
    names = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in both if before[name] != after[name]),
    }
    return {kind: changed for kind, changed in names.items() if changed}
