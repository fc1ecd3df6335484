"""Locks a model's requirements with hashes, at the installed versions, for the model server's containers."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from gitops_ml.artifacts.requirements import folded
from gitops_ml.errors import InputError
from gitops_ml.serving.building.requirements import CONTAINER_PYTHON, read_lock

PLATFORM = "x86_64-manylinux_2_28"
"""Decides which distributions are needed; the hashes are those of all platforms' wheels."""
SECONDS = 300


def lock(pins: Mapping[str, str | None], constraints: Iterable[str] | None = None) -> str:
    """Resolve distributions with all that they need into lines `name==version --hash=…`.

    uv does it, with wheels only. uv asks its own index of packages, else pip's, and its cache first.

    Args:
        pins: version by name; None for the newest that fits.
        constraints: lines such as `numpy<2` that bound what is needed; None keeps the versions that are installed here.

    Raises:
        InputError: uv is missing, or finds no such wheels.
    """
    wanted = "".join(f"{name}=={version}\n" if version else f"{name}\n" for name, version in sorted(pins.items()))
    if constraints is None:
        constraints = [f"{name}=={version}" for name, version in sorted(_closure(pins).items())]
    with tempfile.TemporaryDirectory() as folder:
        bounds = Path(folder) / "constraints.txt"
        bounds.write_text("".join(f"{line}\n" for line in constraints))
        command = [
            *(_uv(), "pip", "compile", "-", "--quiet", "--constraints", str(bounds), "--generate-hashes"),
            *("--only-binary", ":all:", "--python-version", CONTAINER_PYTHON, "--python-platform", PLATFORM),
            *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--color", "never"),
        ]
        try:
            result = subprocess.run(
                command, input=wanted, capture_output=True, text=True, timeout=SECONDS, cwd=folder, env=_environment()
            )
        except subprocess.TimeoutExpired as error:
            raise _not_locked(pins, f"uv gave no answer in {SECONDS} s") from error
    if result.returncode:
        raise _not_locked(pins, " ".join(result.stderr.split())[:1000])
    return result.stdout


def require_lock(requirements: str, pins: Mapping[str, str]) -> None:
    """Check that a lock has each distribution that a model needs, at the version that is installed here.

    Raises:
        ModelRejected: the text is no lock. Names each line that is at fault.
        InputError: a distribution is missing or has another version. Names each.
    """
    locked = {pin.name: pin.version for pin in read_lock(requirements.encode()) if pin.applies}
    missing = sorted(set(pins) - set(locked))
    if missing:
        raise InputError(
            f"the requirements do not pin {', '.join(missing)}",
            why="the model server needs it to load the model",
            fix="add it to the file that the requirements are locked from, and lock again",
        )
    other = [
        f"{name} {version} is installed, {locked[name]} is pinned"
        for name, version in sorted(pins.items())
        if locked[name] != version
    ]
    if other:
        raise InputError(
            "the model would be served by other versions than those that trained it",
            why="; ".join(other),
            fix="install the lock, such as with pip install -r requirements.txt, and train again",
        )


def _closure(names: Iterable[str]) -> dict[str, str]:
    """The installed version of each distribution that these need, themselves included; extras are left out."""
    versions: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = folded(waiting.pop())
        if name in versions:
            continue
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a need of another platform, or of an extra
        versions[name] = distribution.version
        for line in distribution.requires or []:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return versions


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    path = str(beside) if beside.is_file() else shutil.which("uv")
    if path is None:
        raise InputError(
            "the model's requirements cannot be locked",
            why="uv is not installed",
            fix="pip install uv; or lock elsewhere, and pass the file: save_model(…, requirements='requirements.txt')",
        )
    return path


def _environment() -> dict[str, str]:
    """This environment, with pip's index where uv has none, and with the system's certificates, which pip trusts."""
    env = dict(os.environ)
    for name, of_pip in (
        ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
        ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
        ("UV_FIND_LINKS", "PIP_FIND_LINKS"),
    ):
        if env.get(of_pip):
            env.setdefault(name, env[of_pip])
    env.setdefault("UV_SYSTEM_CERTS", "1")
    return env


def _not_locked(pins: Mapping[str, str | None], why: str) -> InputError:
    listed = ", ".join(f"{name} {version or ''}".strip() for name, version in sorted(pins.items()))
    return InputError(
        f"the model's requirements cannot be locked: {listed}",
        why=why,
        fix="connect to an index that has wheels of these versions; or lock elsewhere, and pass the file: "
        "save_model(…, requirements='requirements.txt')",
    )
