"""Models that were fitted with pandas 3, where texts are a type of their own, are saved and served with equal answers.

The locks have pandas 2, so pandas 3 is laid over them for one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = "3.1.1"

KINDS = ("text labels", "many classes", "columns with gaps", "texts", "array of texts", "transformer")
"""Those of tests/saving/test_save_model.py in which texts are."""

CHILD = """
import re, sys
from pathlib import Path
import pandas
from tests.saving import served

folder, version = Path(sys.argv[1]), sys.argv[2]
assert pandas.__version__ == version and pandas.Series(["a"]).dtype == "str"
lock = folder / "requirements.txt"
lock.write_text(re.sub(r"(?m)^pandas==\\S+", f"pandas=={version}", served.LOCK.read_text()))
served.LOCK = lock
from tests.saving import test_save_model

for kind in sys.argv[3:]:
    (folder / kind).mkdir()
    test_save_model.test_the_served_model_answers_as_the_model_in_memory(folder / kind, kind)
    print("equal", kind)
"""


@pytest.fixture(scope="module")
def pandas_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but pandas 3."""
    folder = tmp_path_factory.mktemp("pandas-3")
    uv = Path(sys.executable).with_name("uv")
    install = [str(uv), "pip", "install", "-q", "--target", str(folder), "--no-deps", f"pandas=={VERSION}"]
    subprocess.run(install, check=True, timeout=120)
    return folder


def test_models_of_texts_are_served_as_in_memory(pandas_3: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{pandas_3}:{ROOT}"}
    child = [sys.executable, "-c", CHILD, str(tmp_path), VERSION, *KINDS]
    done = subprocess.run(child, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.splitlines() == [f"equal {kind}" for kind in KINDS]
