"""What a stored model needs: the packages that its file names, at the versions that trained it, locked with hashes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from gitops_ml.adoption.stored_model import FoundModel
from gitops_ml.artifacts.pickle_modules import Format
from gitops_ml.artifacts.requirements import folded
from gitops_ml.errors import InputError
from gitops_ml.saving.imports import providers

MODULES = {
    "PIL": "pillow",
    "category_encoders": "category-encoders",
    "catboost": "catboost",
    "cloudpickle": "cloudpickle",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dill": "dill",
    "feature_engine": "feature-engine",
    "imblearn": "imbalanced-learn",
    "lightgbm": "lightgbm",
    "nltk": "nltk",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "sklearn_pandas": "sklearn-pandas",
    "statsmodels": "statsmodels",
    "xgboost": "xgboost",
    "yaml": "pyyaml",
}
"""The distributions of well-known modules whose names differ, and of those that models are made with."""
_ESTIMATORS = ("numpy", "pandas", "scikit-learn")
"""What the server hands to every estimator."""
_FIXED: dict[Format, tuple[str, ...]] = {
    "joblib": (*_ESTIMATORS, "joblib"),
    "skops": (*_ESTIMATORS, "skops"),
    "onnx": ("onnxruntime",),
    "xgboost": ("xgboost",),
    "lightgbm": ("lightgbm",),
    "mlflow": ("mlflow-skinny", "numpy", "pandas"),
}
SCIKIT_LEARN = "scikit-learn"
_MAKERS = frozenset(
    ("catboost", "imblearn", "lightgbm", "sklearn", "skops", "statsmodels", "xgboost", "category_encoders")
)


@dataclass(frozen=True)
class Needs:
    """The packages of one model: the version of each, None where nobody pins it; where each version is from."""

    versions: Mapping[str, str | None]
    sources: Mapping[str, str]


def needs_of(stored: FoundModel, pinned: Mapping[str, tuple[str, str]], given: Mapping[str, str]) -> Needs:
    """Find the packages that a model's file names, and their versions.

    A version is taken from what a person gave, else from the repository, else from the file itself (scikit-learn),
    else, where this environment has that scikit-learn too, from this environment.

    Args:
        pinned: what the repository pins: version and file, by normalized name.
        given: what a person pins, by normalized name.

    Raises:
        InputError: the repository pins another scikit-learn than the one that stored the model.
    """
    names = {*_FIXED[stored.format], *_distributions(stored.modules, pinned)}
    if "xgboost" in names:
        names = (names - {"xgboost"}) | {"xgboost" if "xgboost" in {**pinned, **given} else "xgboost-cpu"}
    if stored.format == "mlflow":
        names |= set(stored.pins)  # all that MLflow saw the model import
    names |= set(given)
    versions: dict[str, str | None] = {}
    sources: dict[str, str] = {}
    here = _same_environment(stored.trained)
    for name in sorted(names):
        versions[name], sources[name] = _version(name, pinned, given, stored.trained, here)
    _require_trained(versions, sources, stored.trained)
    return Needs(versions, sources)


def _distributions(modules: Set[str], pinned: Mapping[str, tuple[str, str]]) -> set[str]:
    names = set()
    for module in modules:
        top = module.partition(".")[0]
        owners = [MODULES[top]] if top in MODULES else []
        if not owners and folded(top) in pinned:
            owners = [folded(top)]
        if not owners and "." in module and not top.startswith(("gitops_ml", "_")):
            installed = providers().get(top, [])
            owners = installed if len(installed) == 1 else []
        names |= {folded(owner) for owner in owners}
    return names


def _version(
    name: str,
    pinned: Mapping[str, tuple[str, str]],
    given: Mapping[str, str],
    trained: Sequence[str],
    here: bool,
) -> tuple[str | None, str]:
    if name in given:
        return given[name], "--pin"
    if name in pinned:
        return pinned[name]
    if name == SCIKIT_LEARN and trained:
        return trained[-1], "the model's file"
    if here:
        try:
            return importlib.metadata.version(name), "this environment"
        except importlib.metadata.PackageNotFoundError:
            pass
    return None, "the newest that fits"


def _same_environment(trained: Sequence[str]) -> bool:
    """Whether this environment may be the one of the training."""
    try:
        return not trained or importlib.metadata.version(SCIKIT_LEARN) in trained
    except importlib.metadata.PackageNotFoundError:
        return not trained


def _require_trained(versions: Mapping[str, str | None], sources: Mapping[str, str], trained: Sequence[str]) -> None:
    version = versions.get(SCIKIT_LEARN)
    if trained and version not in trained:
        raise InputError(
            f"the model was stored by scikit-learn {', '.join(trained)}, and {sources[SCIKIT_LEARN]} pins {version}",
            why="scikit-learn does not promise that a model gives the same answers in another version",
            fix=f"serve it with the version that stored it: --pin scikit-learn=={trained[-1]}; or train it again",
        )


def holds_estimator(stored: FoundModel) -> bool:
    """Whether a model's file names a class of a library that makes models, and not only arrays and tables of data."""
    return stored.format != "joblib" or bool({module.partition(".")[0] for module in stored.modules} & _MAKERS)


def constraints_of(needs: Needs, pinned: Mapping[str, tuple[str, str]]) -> list[str]:
    """Bounds of what the needed packages bring along: the repository's pins, and what old wheels do not state."""
    bounds = [f"{name}=={version}" for name, (version, _) in sorted(pinned.items()) if name not in needs.versions]
    version = needs.versions.get(SCIKIT_LEARN)
    # Wheels before 1.4.2 were built for numpy 1 and do not say so: https://scikit-learn.org/1.4/whats_new/v1.4.html
    if version and needs.versions.get("numpy") is None and _older(version, "1.4.2"):
        bounds.append("numpy<2")
    if needs.versions.get("pandas") is None:
        bounds.append("pandas<3")  # as the model server's own
    return bounds


def _older(version: str, other: str) -> bool:
    try:
        return Version(version) < Version(other)
    except InvalidVersion:
        return False
