"""What was seen of a model, and how that reaches the person who adopts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST, Manifest, Tensor
from gitops_ml.serving.inspection.samples import Chosen


@dataclass(frozen=True)
class Description:
    """A model's manifest and example.json, its class, and the data file of its example, if any."""

    manifest: Manifest
    example: bytes
    kind: str
    sample: str | None
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """As plain data; the files as texts."""
        return {
            "manifest": msgspec.to_builtins(self.manifest),
            "example": self.example.decode(),
            "kind": self.kind,
            "sample": self.sample,
            "notes": self.notes,
        }


def draft(job: dict[str, Any], inputs: Sequence[Tensor], **known: Any) -> Manifest:
    """The manifest as far as it is known before the model was asked."""
    return Manifest(
        schema=1,
        name=job["name"],
        python=job["python"],
        format=job["format"],
        file=job["file"],
        inputs=tuple(inputs),
        **known,
    )


def write_texts(folder: Path, manifest: Manifest, example: bytes) -> None:
    """Write what the server reads beside the model."""
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    (folder / EXAMPLE).write_bytes(example)


def name_of(chosen: Chosen) -> str | None:
    """The data file that the rows come from."""
    return None if chosen.sample is None else chosen.sample.name


def notes_of(chosen: Chosen, notes: Sequence[str]) -> list[str]:
    """With what a person should know of the example."""
    if chosen.sample is not None:
        return list(notes)
    return [*notes, "the example is zeros: no data file has the model's columns; --sample FILE takes real rows"]
