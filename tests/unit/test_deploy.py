"""The unit of systemd, read by systemd's own tool, and the recipe of the image that `make agent-image` builds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gitops_ml.clients.engine.building.base_images import PYTHON
from gitops_ml.control.agent.loop import STOP_SECONDS
from tests.unit.cli.test_printed_commands import require_valid

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "gitops-ml-agent.service"
MOST_EXPOSED = 2.0
"""Of 10, as `systemd-analyze security` rates; what has to stay open is the network."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there, as systemd-analyze demands."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd: apt-get install systemd")
    path = tmp_path / UNIT.name
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    return path


def analyze(*arguments: str) -> str:
    ran = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_systemd_accepts_the_unit(unit: Path) -> None:
    assert analyze("verify", "--man=no", str(unit)) == ""


def test_the_unit_is_hardened(unit: Path) -> None:
    rated = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", str(unit))
    assert float(rated.split("exposure level for")[1].split(":")[1].split()[0]) <= MOST_EXPOSED


def test_the_unit_starts_the_agent_and_lets_it_end() -> None:
    text = UNIT.read_text()
    command = re.search(r"^ExecStart=/opt/gitops-ml/bin/(gitops-ml .*)$", text, re.MULTILINE)
    assert command is not None
    require_valid("", command[1].split()[1:])
    stop = re.search(r"^TimeoutStopSec=(\d+)s$", text, re.MULTILINE)
    assert stop is not None and int(stop[1]) > STOP_SECONDS


def test_the_image_starts_the_agent_without_root() -> None:
    recipe = (ROOT / "deploy" / "agent" / "Dockerfile").read_text()
    assert re.findall(r"^ARG BASE=(.*)$", recipe, re.MULTILINE) == [PYTHON.official]
    assert re.findall(r"^USER (.*)$", recipe, re.MULTILINE) == ["65532:65532"]
    last = {name: json.loads(value) for name, value in re.findall(r"^(ENTRYPOINT|CMD) (.*)$", recipe, re.MULTILINE)}
    assert last["ENTRYPOINT"] == ["gitops-ml"]
    require_valid("", last["CMD"])
