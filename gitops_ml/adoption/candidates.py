"""Finds the models of a commit: what `artifacts:` names, outputs of stages, `.dvc` files, files that Git tracks."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gitops_ml.adoption.data_rows import is_data
from gitops_ml.artifacts.mlflow_folder import MLMODEL
from gitops_ml.artifacts.pickle_modules import MAYBE, format_of
from gitops_ml.clients.artifacts.model_paths import declared_models
from gitops_ml.clients.artifacts.path_digests import all_outputs
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.outputs import Output
from gitops_ml.errors import InputError
from gitops_ml.suggest import did_you_mean

_GENERIC = re.compile(
    r"(best|final|trained|my|the)?[-_ ]?(models?|clf|classifier|regressor|estimator|pipe(line)?|booster|artifacts?|"
    r"outputs?|data|checkpoints?|out|bin|mlruns|src|\.)[-_]?(best|final|v?\d+)?"
)
"""Names that say nothing of which model it is."""
_BOOSTER = re.compile(r"model|boost|xgb|lgb|tree", re.IGNORECASE)


class Candidate(NamedTuple):
    """A path of a commit that may hold a model.

    Args:
        name: its name under `artifacts:`, or the one that it would get.
        folder: of the dvc.yaml that declares it, or would.
        declared: whether it is under `artifacts:` already.
    """

    path: str
    name: str
    folder: str
    declared: bool

    @property
    def model(self) -> str:
        """The model as commands name it."""
        return f"{self.folder}:{self.name}" if self.folder else self.name


class Tracked(NamedTuple):
    """The paths that a commit holds: DVC's outputs, and files of Git."""

    outputs: Sequence[Output]
    files: Sequence[str]


def tracked(repo: Repository, commit: str) -> Tracked:
    """All paths of a commit."""
    outputs, _ = all_outputs(repo, commit)
    return Tracked(outputs, sorted(repo.list_files(commit)))


def find_candidates(
    repo: Repository, commit: str, paths: Tracked, asked: Sequence[str], name: str | None = None
) -> list[Candidate]:
    """The models to look at, in the order of their names.

    Args:
        asked: names under `artifacts:`, or paths; without any, all that is declared, else all that looks like a model.
        name: what one model without a name is to be called.

    Raises:
        InputError: something that is asked for is neither; or a name is given for none or several models, or is taken.
    """
    declared = _declared(repo, commit, paths)
    if not asked:
        found = _by_file_name(paths) if not declared else []
        return _distinct([*declared.values(), *(_named(repo, path, paths) for path in found)], declared, name)
    candidates = []
    for each in asked:
        path = posixpath.normpath(each.replace("\\", "/"))
        known = declared.get(each) or next((c for c in declared.values() if c.path == path), None)
        if known is None and not _holds(paths, path):
            names = sorted({*declared, *_by_file_name(paths)})
            raise InputError(
                f"{each} is neither a model under artifacts: nor a path of the last commit",
                why=f"found: {', '.join(names[:10]) or 'no model'}",
                fix=did_you_mean(each, names) or f"dvc add {each}, or git add {each}; then commit",
            )
        candidates.append(known or _named(repo, path, paths))
    return _distinct(candidates, declared, name)


def data_files(paths: Tracked, near: str) -> list[str]:
    """The paths that may hold rows of data, the likeliest first: beside `near`, and named after training."""

    def rank(path: str) -> tuple[int, bool, bool, str]:
        name = posixpath.basename(path).lower()
        shared = len(posixpath.commonpath([near, path]))
        return (-shared, "train" not in name, any(word in name for word in ("metric", "pred", "score")), path)

    names = [*(output.path for output in paths.outputs if output.cached), *paths.files]
    folders = {output.path for output in paths.outputs if output.is_dir}
    return sorted((path for path in dict.fromkeys(names) if is_data(path) or path in folders), key=rank)


def _distinct(candidates: list[Candidate], declared: Mapping[str, Candidate], name: str | None) -> list[Candidate]:
    """The candidates with one name each: the given one, else longer ones where two have the same."""
    unnamed = [candidate for candidate in candidates if not candidate.declared]
    if name is not None:
        if len(unnamed) != 1:
            listed = ", ".join(candidate.path for candidate in unnamed[:10]) or "none"
            raise InputError(f"--name names one model, and these have no name: {listed}", fix="name one path as well")
        if artifact_name(name) != name:
            raise InputError(
                f"`{name}` is no name of a model",
                why="DVC takes lower case letters, digits and hyphens",
                fix=f"--name {artifact_name(name)}",
            )
        unnamed = [unnamed[0]._replace(name=name)]
    taken = {candidate.model for candidate in declared.values()}
    renamed = {}
    for candidate in unnamed:
        alike = sum(other.model == candidate.model for other in unnamed) > 1 or candidate.model in taken
        longer = candidate._replace(name=artifact_name(posixpath.splitext(candidate.path)[0])) if alike else candidate
        if longer.model in taken:
            raise InputError(f"{longer.model} is under artifacts: already", fix="--name ANOTHER, with the one path")
        taken.add(longer.model)
        renamed[candidate.path] = longer
    return [renamed.get(candidate.path, candidate) for candidate in candidates]


def _declared(repo: Repository, commit: str, paths: Tracked) -> dict[str, Candidate]:
    """What the dvc.yaml files, and GTO's older artifacts.yaml, declare, by the model's name."""
    folders = [posixpath.dirname(file) for file in paths.files if posixpath.basename(file) == "dvc.yaml"]
    declared = {}
    for folder in dict.fromkeys(("", *folders)):
        for name, path in declared_models(repo, commit, folder).items():
            candidate = Candidate(posixpath.normpath(posixpath.join(folder, path)), name, folder, True)
            if _holds(paths, candidate.path):
                declared[candidate.model] = candidate
    return {name: candidate for name, candidate in sorted(declared.items()) if not is_data(candidate.path)}


def _by_file_name(paths: Tracked) -> list[str]:
    folders = [posixpath.dirname(file) for file in paths.files if posixpath.basename(file) == MLMODEL]
    singles = [*(output.path for output in paths.outputs if output.cached), *paths.files]
    looking = [path for path in singles if format_of(path) or _may_be_booster(path)]
    outside = [path for path in looking if not any(path.startswith(f"{folder}/") for folder in folders)]
    return sorted(dict.fromkeys([*folders, *outside]))


def _may_be_booster(path: str) -> bool:
    name = posixpath.basename(path)
    return name.lower().endswith(MAYBE) and bool(_BOOSTER.search(name)) and "requirements" not in name


def _holds(paths: Tracked, path: str) -> bool:
    inside = f"{path}/"
    return any(
        output.path == path or (output.is_dir and path.startswith(f"{output.path}/")) for output in paths.outputs
    ) or any(file == path or file.startswith(inside) for file in paths.files)


def _named(repo: Repository, path: str, paths: Tracked) -> Candidate:
    folders = {posixpath.dirname(file) for file in paths.files if posixpath.basename(file) == "dvc.yaml"}
    folder = next((above for above in _above(path) if above in folders), "")
    parts = [posixpath.splitext(path.split("/")[-1])[0], *reversed(path.split("/")[:-1])]
    telling = next((part for part in parts if not _GENERIC.fullmatch(part.lower())), repo.root.name)
    return Candidate(path, artifact_name(telling), folder, False)


def artifact_name(text: str) -> str:
    """`text` as DVC takes it for a name under `artifacts:`: lower case, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "model"


def _above(path: str) -> Iterator[str]:
    while path:
        path = posixpath.dirname(path)
        yield path
