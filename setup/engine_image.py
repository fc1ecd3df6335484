"""The engine calls that set-up needs, so that no `docker` command has to be installed.

ping             exit 0 if an engine answers
has KIND         exit 0 if the engine has the base image of this kind, python or gateway
pull KIND        exit 0 if it was pulled; gives up on a registry that is silent, not on a slow one
import KIND TAR CHANGE...   make the image of this kind from a root file system
"""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from types import FrameType

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from gitops_ml.clients.engine.building.base_images import BY_NAME, IDENTITY, BaseImage

KINDS = {image.kind: image for image in BY_NAME.values()}

FIRST_ANSWER = 15  # seconds until a registry must have said something
STALLED = 60  # seconds without any progress afterwards


class _RegistrySilent(Exception):
    """The registry sent nothing for too long."""


def _too_long(_signum: int, _frame: FrameType | None) -> None:
    raise _RegistrySilent


def pull(client: docker.APIClient, base: BaseImage) -> None:
    """Pull an image by its digest, and give it its name and label.

    Gives up after 15 s without a first answer, or 60 s without progress; a slow network may take longer.

    Raises:
        DockerException: the registry or the engine refused.
        _RegistrySilent: the registry sent nothing.
    """
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(FIRST_ANSWER)
    repository, _, digest = base.pinned.partition("@")
    for event in client.pull(repository, tag=digest, stream=True, decode=True):
        signal.alarm(STALLED)
        if "error" in event:
            raise DockerException(str(event["error"]))
    signal.alarm(0)
    dockerfile = io.BytesIO(base.dockerfile.encode())
    for event in client.build(fileobj=dockerfile, tag=base.name, nocache=True, rm=True, decode=True):
        if "error" in event:
            raise DockerException(str(event["error"]))


def import_tar(client: docker.APIClient, base: BaseImage, tar: Path, changes: list[str]) -> None:
    """Make an image from the root file system in `tar`, configured by Dockerfile instructions.

    Raises:
        DockerException: the engine could not store it, mostly because its disk is full.
    """
    repository, _, tag = base.name.rpartition(":")
    labelled = [*changes, f"LABEL {IDENTITY}=recipe:{base.recipe}"]
    answer = client.import_image_from_file(str(tar), repository=repository, tag=tag, changes=labelled)
    if "errorDetail" in answer:
        raise DockerException(answer.strip())


def main(command: str, *args: str) -> int:
    """Run one of the commands above. Returns the exit code."""
    try:
        client = docker.from_env(timeout=600 if command == "import" else 10)
        if command == "ping":
            client.ping()
        elif command == "has":
            client.images.get(KINDS[args[0]].name)
        elif command == "pull":
            pull(client.api, KINDS[args[0]])
        elif command == "import":
            import_tar(client.api, KINDS[args[0]], Path(args[1]), list(args[2:]))
        else:
            raise SystemExit(__doc__)
    except ImageNotFound:
        return 1
    except _RegistrySilent:
        print(f"{args[0]}: the registry did not answer", file=sys.stderr)
        return 1
    except (APIError, DockerException, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [""])))
