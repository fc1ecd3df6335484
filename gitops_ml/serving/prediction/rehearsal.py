"""Answers a model's own example before the port is bound: once as it is, once with each row three times.

It tests the model, and the first user need not wait for late imports. A model that answers one row may still answer
several wrongly, such as one that takes the names of the columns for the rows.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import EXAMPLE
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.prediction.inference import Inference
from gitops_ml.serving.prediction.outputs import WrongOutputError

REPEATED = 3


def rehearse(inference: Inference, model_dir: Path) -> None:
    """Answer the example of the artifact in `model_dir`, if it has one.

    Raises:
        ModelRejected: the model cannot answer it, or not as the manifest declares.
    """
    path = model_dir / EXAMPLE
    if not path.is_file():
        return
    try:
        body = path.read_bytes()
        for each in (body, repeated(body)):
            awaited(inference.answer(each).response)
    except Exception as error:  # the model is foreign code
        declared = isinstance(error, WrongOutputError)
        raise ModelRejected(
            f"the model fails on its own {EXAMPLE}",
            why=str(error) if declared else f"{type(error).__name__}: {error}",
            fix="correct `outputs` in the model's manifest.json"
            if declared
            else "correct it or train again, then gitops-ml check",
        ) from error


def repeated(body: bytes) -> bytes:
    """An inference request in JSON with all its rows `REPEATED` times."""
    request = msgspec.json.decode(body)
    for tensor in request["inputs"]:
        tensor["shape"][0] *= REPEATED
        tensor["data"] *= REPEATED
    return msgspec.json.encode(request)


def awaited(answer: Any) -> Any:
    """The answer itself; of an asynchronous model, the answer once it is there."""
    return asyncio.run(_finish(answer)) if inspect.isawaitable(answer) else answer


async def _finish(answer: Awaitable[Any]) -> Any:
    return await answer
