"""Running a team's own command in a container of its own.

A command is declared in the repository, so whoever may merge decides what runs. It gets the declaring commit's files
and the environment's network, and nothing of the machine that reconciles: no variable, no file, no privilege.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.own_checks.page import UnansweredError
from gitops_ml.core.declaration.checks import CommandCheck
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.generation import ContainerSpec, probe_labels, scoped
from gitops_ml.core.verification.own_checks import CheckSubject

FOLDER = "/commit"
"""Where the commit's files are in the container, and where the command begins."""
MEMORY, CPUS, PIDS = 512 * 1024**2, 1.0, 128
_LOG_LINES = 50
_OVERHEAD_SECONDS = 60.0
"""What it may take to fill, start and remove a command's container, beside the command's own time."""
_LOOK_EVERY = 0.25


class CommandPlace(NamedTuple):
    """Where commands run.

    Args:
        image: gives the image of commands that name none.
        files: the declaring commit's files by path. Raises `InputError` where they are too many.
        endpoint: where the model answers inside the environment's network.
        permitted: whether the host's operator permits commands.
        locked: whether the environment's lock is held; see `ProbePlace`.
    """

    engine: Engine
    project: str
    environment: str
    image: Callable[[], str]
    files: Callable[[], Mapping[str, bytes]]
    endpoint: str
    permitted: bool
    locked: bool = True


def run_command(
    place: CommandPlace, check: CommandCheck, subject: CheckSubject, go_on: Callable[[], None]
) -> tuple[int, str]:
    """Run a command in a container. Returns its exit code and its last output.

    Raises `UnansweredError` where it may not run or takes too long, and `EngineFailed`.
    """
    if not place.permitted:
        raise UnansweredError("the host's operator does not permit commands")
    engine = place.engine
    about = msgspec.structs.asdict(msgspec.structs.replace(subject, endpoint=place.endpoint))
    files = place.files()
    timeout = seconds(check.timeout)
    image = check.image and (engine.image_id(check.image) or engine.pull(check.image))
    container = engine.create(
        ContainerSpec(
            name=scoped(place.project, place.environment, "command", secrets.token_hex(4)),
            image=image or place.image(),
            labels=probe_labels(
                place.project, place.environment, None if place.locked else timeout + _OVERHEAD_SECONDS
            ),
            network=scoped(place.project, place.environment),
            entrypoint=check.run,
            command=(),
            workdir=FOLDER,
            env={"HOME": "/tmp"} | {f"GITOPS_ML_{name.upper()}": str(value) for name, value in about.items()},
            anonymous_volumes=(FOLDER,),
            memory=MEMORY,
            cpus=CPUS,
            pids=PIDS,
            restart="no",
        )
    )
    try:
        engine.put(container, FOLDER, files, executable=True)
        engine.start(container, f"the command {check.name}")
        deadline = time.monotonic() + timeout
        while (code := engine.wait(container, timeout=_LOOK_EVERY)) is None:
            go_on()
            if time.monotonic() > deadline:
                raise UnansweredError(f"it was killed after {check.timeout}")
            if engine.state(container) is None:
                raise UnansweredError("its container was removed")
        inspected = engine.inspect_container(container)
        if inspected and inspected["State"].get("OOMKilled"):
            raise UnansweredError(f"it was killed for using more than {MEMORY >> 20} MB of memory")
        return code, engine.logs(container, _LOG_LINES)
    finally:
        engine.remove(container, force=True)
