"""Looks into a model in a container without a network, with the model's own packages; removes the container.

A model is hostile until proven otherwise: nothing of it is loaded in this process. What the container writes is read
as data, bounded and typed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gitops_ml.artifacts.content import FileContent
from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.engine.building.model_images import ensure_runtime, find_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.types import TooMuchOutput
from gitops_ml.core.generation import LABEL, ROLE, ContainerSpec
from gitops_ml.core.text import clean, clean_line
from gitops_ml.errors import EngineFailed, GitopsError, ModelRejected
from gitops_ml.serving.building.context import with_folders

FOLDER = "/probe"
COMMAND = ("python", "-m", "gitops_ml.serving.inspection")
INSPECTION = "inspection"
SECONDS = 300.0
"""How long looking into one model may take."""
ABANDONED_SECONDS = 3600
_STARTED = LABEL + "started"
_MEMORY = 2 << 30
_COPIES = 4
"""How often a model's bytes may be in memory while it is loaded and compared."""
_PIDS = 256
_LONGEST_RESULT = 64 << 20
_MOST_NOTES = 100


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with a model, as an error says it."""

    what: str
    why: str = ""
    fix: str = ""

    def error(self) -> ModelRejected:
        """The same as an error, with texts that a terminal can show."""
        return ModelRejected(clean_line(self.what), why=clean_line(self.why, 1000), fix=clean_line(self.fix, 1000))


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What the container says of a model; without `problems` of one to describe, all but `sample` is there.

    Args:
        manifest: the content of manifest.json as it would be written.
        example: the content of example.json.
        kind: the model's class.
        sample: the data file that the example is from; None for zeros.
    """

    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    manifest: dict[str, Any] | None = None
    example: str | None = None
    kind: str = ""
    sample: str | None = None

    @property
    def errors(self) -> list[GitopsError]:
        """The problems, as errors."""
        return [problem.error() for problem in self.problems]


def inspect_model(
    engine: Engine,
    requirements: bytes,
    files: Mapping[str, FileContent],
    job: Mapping[str, Any],
    tell: Callable[[str], None] = lambda line: None,
) -> Inspection:
    """Run `gitops_ml.serving.inspection` once.

    Args:
        requirements: of the runtime image: the model's lock, and what the server needs beside it.
        files: the artifact, by path.
        job: what is done; see `gitops_ml.serving.inspection`.
        tell: takes a line of progress.

    Raises `EngineUnavailable` and `EngineFailed` for faults that are not the model's.
    """
    _sweep(engine)
    if find_runtime(engine, requirements) is None:
        tell("installing the model's packages into an image, once for all models with these packages")
    _, image = ensure_runtime(engine, requirements)
    tell("looking into the model, in a container without a network")
    size = sum(map(len, files.values()))
    container = engine.create(
        ContainerSpec(
            name=f"gitops-ml.{INSPECTION}.{secrets.token_hex(4)}",
            image=image,
            labels={ROLE: INSPECTION, _STARTED: str(int(time.time()))},
            network=None,
            command=COMMAND,
            anonymous_volumes=(FOLDER,),
            memory=_MEMORY + _COPIES * size,
            pids=_PIDS,
            restart="no",
        )
    )
    try:
        content: dict[str, FileContent] = {f"model/{name}": data for name, data in files.items()}
        engine.put(container, FOLDER, with_folders(content | {"job.json": msgspec.json.encode(job)}))
        engine.start(container, "the inspection of a model")
        return _result(engine, container, _exit_code(engine, container))
    finally:
        engine.remove(container, force=True)


def parse_inspection(content: bytes) -> Inspection:
    """Read result.json, which the model's own code may have written. What is malformed is a problem of the model."""
    try:
        inspection = decode(content, Inspection)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        return _failed("what the container says of the model is malformed", clean_line(str(error), 300))
    return msgspec.structs.replace(
        inspection,
        notes=[clean_line(note, 1000) for note in inspection.notes[:_MOST_NOTES]],
        kind=clean_line(inspection.kind, 200),
        sample=None if inspection.sample is None else clean_line(inspection.sample, 300),
    )


def _exit_code(engine: Engine, container: str) -> int | None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        code = engine.wait(container, timeout=1.0)
        if code is not None:
            return code
    return None


def _result(engine: Engine, container: str, code: int | None) -> Inspection:
    if code is None:
        return _failed("looking into the model took too long", f"it did not end within {SECONDS:.0f} s")
    try:
        content = engine.get(container, f"{FOLDER}/result.json", limit=_LONGEST_RESULT).get("result.json")
    except TooMuchOutput as error:
        return _failed("what the container says of the model is too large", error.what)
    if code == 0 and content is not None:
        return parse_inspection(content)
    inspected = engine.inspect_container(container)
    if inspected is None:
        raise EngineFailed("the container that looked into the model was removed while it ran", fix="run it again")
    if inspected["State"].get("OOMKilled"):
        return _failed("the model takes too much memory", f"more than {_MEMORY >> 20} MiB beside its bytes")
    why = clean(engine.logs(container, 10)).strip().replace("\n", " | ")
    return _failed(f"the model ended its own process with code {code}", clean_line(why, 600))


def _failed(what: str, why: str) -> Inspection:
    return Inspection(problems=[Problem(what, why)])


def _sweep(engine: Engine) -> None:
    """Remove what killed runs left behind, once it is too old to be in use."""
    before = time.time() - ABANDONED_SECONDS
    for container in engine.list_containers({ROLE: INSPECTION}):
        if float((container["Labels"] or {}).get(_STARTED) or 0) < before:
            engine.remove(str(container["Id"]), force=True)
