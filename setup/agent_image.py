"""Makes the agent's image, gitops-ml/agent:<version>, from this clone and the wheels of requirements/agent.txt.

Wheels are made here and copied, so the build knows no package index. Debian's packages come from its mirror, by the
host's network. In the end the image is tried, locked down.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import docker

from gitops_ml import __version__
from gitops_ml.clients.engine.building.base_images import PYTHON

ROOT = Path(__file__).parents[1]
CONTEXT = ROOT / "build" / "agent"
IMAGE = f"gitops-ml/agent:{__version__}"
TRIED = (
    "git --version && gpg --version && ssh -V && gitops-ml --version && gitops-ml agent --help >/dev/null"
    " && python -c 'import apprise'"
)


def make_context() -> None:
    """Make the build's context: the Dockerfile, and a wheel of each package."""
    shutil.rmtree(CONTEXT, ignore_errors=True)
    CONTEXT.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "agent" / "Dockerfile", CONTEXT)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-qq",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        CONTEXT / "wheels",
    ]
    subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements" / "agent.txt"], check=True)
    subprocess.run([*pip, ROOT], check=True)


def main() -> None:
    """Build the image and try it. Raises `DockerException` and `CalledProcessError`."""
    make_context()
    engine = docker.from_env(timeout=1800)
    base = {"BASE": PYTHON.name}
    image, _ = engine.images.build(path=str(CONTEXT), tag=IMAGE, buildargs=base, network_mode="host", rm=True)
    output = engine.containers.run(
        image,
        ["-ec", TRIED],
        entrypoint="sh",
        remove=True,
        stderr=True,
        read_only=True,
        tmpfs={"/tmp": ""},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_disabled=True,
    )
    print(f"{output.decode()}{IMAGE} is made", file=sys.stderr)


if __name__ == "__main__":
    main()
