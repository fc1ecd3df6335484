"""Asks the server's app for the answers of a written artifact, in this process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from gitops_ml.artifacts.inputs import inference_request
from gitops_ml.artifacts.manifest import Manifest, parse_manifest
from gitops_ml.serving.server import load_app
from tests.serving.conftest import IDENTITY

LOCK = Path(__file__).parents[2] / "requirements" / "serving.txt"


def manifest_of(folder: Path) -> Manifest:
    return parse_manifest((folder / "manifest.json").read_bytes())


def served(folder: Path, rows: Any) -> dict[str, Any]:
    """The served model's answers to these rows, by output; its example has to be answered too."""
    app, _ = load_app({**IDENTITY, "GITOPS_ML_MODEL_DIR": str(folder), "GITOPS_ML_ALLOW_PICKLE": "1"})
    request = json.dumps(inference_request(rows, manifest_of(folder).inputs)).encode()

    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            url = f"/v2/models/{IDENTITY['GITOPS_ML_DEPLOYMENT']}/infer"
            return [await client.post(url, content=body) for body in ((folder / "example.json").read_bytes(), request)]

    example, response = asyncio.run(ask())
    assert (example.status_code, response.status_code) == (200, 200), (example.text, response.text)
    return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in response.json()["outputs"]}
