"""Which installed distributions a model needs: those that its pickle names, as loading it would import them."""

from __future__ import annotations

import functools
import importlib.metadata
import io
import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gitops_ml.artifacts.requirements import folded
from gitops_ml.errors import InputError


def pickled(model: object) -> tuple[bytes, frozenset[tuple[str, str]]]:
    """Pickle a model; its bytes, and (module, name) of every class and function that loading it imports.

    The bytes are those of a copy that went through a pickle once. They depend less on which equal values the program
    shares than those of the model itself.

    Raises:
        InputError: the model cannot be pickled.
    """
    try:
        loader = _Recorder(io.BytesIO(pickle.dumps(model, protocol=5)))
        copied = loader.load()
        return pickle.dumps(copied, protocol=5), frozenset(loader.names)
    except Exception as error:  # classes decide themselves how they are pickled
        raise InputError(
            f"{type(model).__name__} cannot be stored",
            why=f"{type(error).__name__}: {error}",
            fix="use a function with a name of an installed package in place of a lambda or a local function",
        ) from error


def distributions(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The installed version of each distribution that provides one of these (module, name), by normalized name.

    Raises:
        InputError: a class or function belongs to the training script or to a file that no distribution provides. The
            model server would not find it.
    """
    known = providers()
    pins: dict[str, str] = {}
    homeless: list[str] = []
    for module, name in sorted(set(names)):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names and top != "__main__":
            continue
        owners = known.get(top, [])
        if not owners:
            homeless.append(f"{module}.{name}")
        for owner in owners if len(owners) < 2 else _owners(module, owners):
            pins[folded(owner)] = importlib.metadata.version(owner)
    if homeless:
        raise InputError(
            f"the model holds {', '.join(homeless[:10])}, which no installed distribution provides",
            why="the model server has the model's requirements, and not the training script",
            fix="move the code into a package, install the package's wheel, import from it, and train again; or serve "
            "the model with a predictor class: see docs/serving.md",
        )
    return pins


def require_published(pins: Iterable[str]) -> None:
    """Check that each distribution came from an index of packages.

    Raises:
        InputError: one was installed from a folder or a Git repository. Names it.
    """
    for name in pins:
        if importlib.metadata.distribution(name).read_text("direct_url.json"):
            raise InputError(
                f"{name} is installed from a folder or an address",
                why="the model server installs wheels that a hash names",
                fix=f"publish a wheel of {name} to your index of packages, or lock it yourself and pass requirements=",
            )


@functools.cache  # a second, for a few hundred distributions
def providers() -> dict[str, list[str]]:
    """The installed distributions that provide each top-level module, sorted."""
    return {name: sorted(set(owners)) for name, owners in importlib.metadata.packages_distributions().items()}


class _Recorder(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.names: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str, /) -> Any:
        self.names.add((module, name))
        return super().find_class(module, name)


def _owners(module: str, owners: list[str]) -> list[str]:
    """Those of several distributions with one top-level package that hold the module's file; all if none is found."""
    path = module.replace(".", "/")
    wanted = {f"{path}.py", f"{path}/__init__.py"}
    holding = []
    for owner in owners:
        for file in importlib.metadata.files(owner) or []:
            text = file.as_posix()
            if text in wanted or (text.startswith(f"{path}.") and Path(text).suffix == ".so"):
                holding.append(owner)
                break
    return holding or owners
