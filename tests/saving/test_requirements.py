"""Requirements are what the model imports, at the installed versions, locked with hashes by uv."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from gitops_ml import save_model
from gitops_ml.errors import InputError, ModelRejected
from gitops_ml.saving.imports import distributions, pickled, require_published
from gitops_ml.saving.lock import lock, require_lock
from gitops_ml.serving.building.requirements import read_lock

POINTS = [[0.0, 1.0], [1.0, 0.0]] * 5
SIDES = [0, 1] * 5


def make_wheel(folder: Path, name: str, version: str, *needs: str) -> str:
    """Write a wheel without code; its SHA-256."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {need}" for need in needs),
    ]
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "\n".join(lines) + "\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where uv finds wheels: there is no index and no network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


def test_a_model_needs_what_its_pickle_imports() -> None:
    model = LogisticRegression().fit(POINTS, SIDES)
    pins = distributions(pickled(model)[1])
    assert pins == {name: importlib.metadata.version(name) for name in ("numpy", "scikit-learn")}


def test_the_lock_has_hashes_and_all_that_is_needed_and_no_address(wheels: Path) -> None:
    tiny = make_wheel(wheels, "tiny_model", "1.0", "tiny_base>=1")
    make_wheel(wheels, "tiny_model", "1.1", "tiny_base>=1")
    base = make_wheel(wheels, "tiny_base", "2.0")
    text = lock({"tiny-model": "1.0"})
    pins = {pin.name: pin for pin in read_lock(text.encode())}
    assert {name: pin.version for name, pin in pins.items()} == {"tiny-model": "1.0", "tiny-base": "2.0"}
    assert tiny in pins["tiny-model"].line and base in pins["tiny-base"].line
    assert "//" not in text and str(wheels) not in text
    assert lock({"tiny-model": "1.0"}) == text


def test_what_is_needed_indirectly_keeps_its_installed_version(wheels: Path) -> None:
    installed = importlib.metadata.version("packaging")
    for version in (installed, "9999.0"):
        make_wheel(wheels, "packaging", version)
    make_wheel(wheels, "hatchling", importlib.metadata.version("hatchling"), "packaging>=1")
    text = lock({"hatchling": importlib.metadata.version("hatchling")})
    assert f"packaging=={installed} " in text


def test_a_version_without_a_wheel_is_named_with_a_way_out(wheels: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be locked: tiny-model 1\.0") as refused:
        lock({"tiny-model": "1.0"})
    assert "requirements=" in refused.value.fix


def test_without_uv_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="uv is not installed"):
        lock({"numpy": "2.0"})


def test_a_given_lock_is_checked(tmp_path: Path) -> None:
    hashed = f"--hash=sha256:{'0' * 64}"
    with pytest.raises(InputError, match="do not pin scikit-learn"):
        require_lock(f"numpy==2.0 {hashed}\n", {"numpy": "2.0", "scikit-learn": "1.6"})
    with pytest.raises(InputError, match=r"numpy 2\.1 is installed, 2\.0 is pinned"):
        require_lock(f"numpy==2.0 {hashed}\n", {"numpy": "2.1"})
    for line in ("numpy==2.0", "--index-url x", "-e .", "a @ file:///a"):
        with pytest.raises(ModelRejected, match="not a lock"):
            require_lock(f"{line}\n", {"numpy": "2.0"})
    require_lock(f"NumPy==2.0 {hashed}\nother==1 {hashed}\n", {"numpy": "2.0"})
    model = LogisticRegression().fit(POINTS, SIDES)
    with pytest.raises(InputError, match="cannot be read"):
        save_model(model, tmp_path / "model", POINTS, name="sides", requirements=tmp_path / "absent.txt")


class OfThisFile(BaseEstimator):  # type: ignore[misc]  # scikit-learn is published without types
    def predict(self, rows: list[list[float]]) -> list[float]:
        return [0.0] * len(rows)


def test_a_class_of_no_distribution_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds tests\.saving\.test_requirements\.OfThisFile") as refused:
        save_model(OfThisFile(), tmp_path / "model", POINTS, name="sides")
    assert "predictor class" in refused.value.fix
    script = f"from {__name__} import *\nclass Mine(OfThisFile): pass\nsave_model(Mine(), 'model', POINTS, name='a')"
    run = [sys.executable, "-c", script]
    result = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert "the model holds __main__.Mine" in result.stderr


def test_what_cannot_be_pickled_is_refused() -> None:
    model = OfThisFile()
    model.score_of = lambda row: row
    with pytest.raises(InputError, match="OfThisFile cannot be stored"):
        pickled(model)


def test_a_distribution_of_a_folder_is_refused() -> None:
    require_published(["numpy"])
    with pytest.raises(InputError, match="gitops-ml is installed from a folder"):
        require_published(["numpy", "gitops-ml"])
