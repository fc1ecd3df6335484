"""The text files of a model artifact, read once into types, bounded in bytes and nesting.

A model is hostile until proven otherwise, and its files are often written by hand: whatever is wrong with them ends as
`ModelRejected`, which is a verdict about this one model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gitops_ml.artifacts.content import FileContent
from gitops_ml.artifacts.decoding import convert
from gitops_ml.artifacts.manifest import EXAMPLE, MALFORMED, MANIFEST, Manifest, broken_file, parse_manifest
from gitops_ml.errors import ModelRejected

REFERENCE = "reference.json"
REQUIREMENTS = "requirements.txt"

MAX_BYTES = {EXAMPLE: 16 << 20, REFERENCE: 16 << 20, REQUIREMENTS: 4 << 20}
MAX_DEPTH = 32
"""How deep `data` of an example may be nested: numpy's own limit for the dimensions of an array."""


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The text files of one artifact.

    Args:
        example: an inference request of the Open Inference Protocol v2 for at least one row; None if there is none.
        reference: `reference.json` as bytes, which only the advisory drift check reads; None if there is none.
        requirements: `requirements.txt`; empty if there is none.
    """

    manifest: Manifest
    example: dict[str, Any] | None = None
    reference: bytes | None = None
    requirements: bytes = b""


class ExampleTensor(msgspec.Struct, frozen=True):
    """An input tensor of `example.json`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class Example(msgspec.Struct, frozen=True):
    """What every reader of `example.json` relies on."""

    inputs: tuple[ExampleTensor, ...]


def read_model_files(files: Mapping[str, FileContent]) -> ModelFiles:
    """Read and check the text files of an artifact.

    Args:
        files: content by path inside the artifact; others than the four text files are ignored.

    Raises:
        ModelRejected: the manifest is missing, or a file is too large, malformed or contradicts itself. Names the file,
            the key and the reason.
    """
    if MANIFEST not in files:
        raise ModelRejected(
            f"the model has no {MANIFEST}",
            why=f"it has {', '.join(sorted(files)[:10]) or 'no file'}",
            fix="gitops-ml adopt; or write one: see docs/serving.md",
        )
    for name, limit in MAX_BYTES.items():
        size = len(files.get(name, b""))
        if size > limit:
            raise broken_file(name, f"it has {size:,} bytes, {limit:,} are allowed")
    texts = {name: bytes(files[name]) for name in (MANIFEST, *MAX_BYTES) if name in files}
    return ModelFiles(
        manifest=parse_manifest(texts[MANIFEST]),
        example=parse_example(texts[EXAMPLE]) if EXAMPLE in texts else None,
        reference=texts.get(REFERENCE),
        requirements=texts.get(REQUIREMENTS, b""),
    )


def parse_example(content: bytes) -> dict[str, Any]:
    """Read and check `example.json`; the request as plain values, with every key that it has.

    Raises:
        ModelRejected: it is no JSON, no inference request, holds no row or is nested too deeply.
    """
    try:
        request = msgspec.json.decode(content)
        example = convert(request, Example)
    except MALFORMED as error:
        raise broken_file(EXAMPLE, error) from error
    problems = "; ".join(_problems(example, request))
    if problems:
        raise broken_file(EXAMPLE, problems)
    return dict(request)


def _problems(example: Example, request: Any) -> Iterator[str]:
    if _deeper_than(request, MAX_DEPTH):
        yield f"it is nested more than {MAX_DEPTH} levels deep"
    if not example.inputs:
        yield "`inputs` is empty"
    for number, tensor in enumerate(example.inputs):
        if not tensor.shape or min(tensor.shape) < 0 or tensor.shape[0] < 1:
            yield f"`inputs[{number}].shape` is {list(tensor.shape)[:8]}; it starts with the number of rows, 1 or more"


def _deeper_than(value: Any, depth: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_deeper_than(item, depth - 1) for item in inner)
