"""Clients written with MLServer's own types and codecs get their answers, and every answer is as its types say.

MLServer's requirements would fix ours (pandas, numpy, fastapi). Its types need pydantic and pandas alone, so they are
imported from its wheel, without the package's own `__init__`.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from tests.serving.artifacts import rows
from tests.serving.conftest import ServerProcess

LOCK = Path(__file__).with_name("mlserver.txt")
INFER = "/v2/models/delays/infer"


class MLServer(NamedTuple):
    """The modules `mlserver.types` and `mlserver.codecs`."""

    types: Any
    codecs: Any

    def require(self, name: str, answer: Any) -> Any:
        """Read an answer by one of the types, which has to know all that is in it."""
        read = getattr(self.types, name).model_validate(answer)
        assert read.model_dump() == answer
        return read


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServer]:
    folder = tmp_path_factory.mktemp("mlserver")
    download = ("pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
    subprocess.run([sys.executable, "-m", *download, "-r", LOCK, "-d", folder], check=True)
    (wheel,) = folder.iterdir()
    package = ModuleType("mlserver")
    package.__path__ = [f"{wheel}/mlserver"]
    sys.modules["mlserver"] = package
    yield MLServer(importlib.import_module("mlserver.types"), importlib.import_module("mlserver.codecs"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlserver"]:
        del sys.modules[name]


@pytest.mark.parametrize("base", ["", "/delays"])
def test_metadata_and_the_index_are_as_mlservers_types_say(
    server: ServerProcess, mlserver: MLServer, base: str
) -> None:
    status, answer = server.ask("GET", f"{base}/v2")
    assert status == 200 and mlserver.require("MetadataServerResponse", answer).extensions
    for path in ("/v2/models/delays", "/v2/models/delays/versions/v1.2.0"):
        status, answer = server.ask("GET", base + path)
        assert status == 200 and mlserver.require("MetadataModelResponse", answer).versions == ["v1.2.0"]
    asked = mlserver.types.RepositoryIndexRequest(ready=True).model_dump_json().encode()
    status, answer = server.ask("POST", f"{base}/v2/repository/index", asked)
    (model,) = mlserver.require("RepositoryIndexResponse", answer).root
    assert (status, model.name, model.version, model.state) == (200, "delays", "v1.2.0", "READY")


@pytest.mark.parametrize("use_bytes", [True, False])
@pytest.mark.parametrize("count", [1, 50])
def test_a_frame_that_mlserver_encodes_gets_the_pipelines_predictions(
    server: ServerProcess, mlserver: MLServer, pipeline: Pipeline, use_bytes: bool, count: int
) -> None:
    frame = rows(count).fillna({"carrier": "AA"})  # its codec takes no missing texts
    request = mlserver.codecs.PandasCodec.encode_request(frame, use_bytes=use_bytes)
    request.id = "a-1"
    request.outputs = [mlserver.types.RequestOutput(name="predict"), mlserver.types.RequestOutput(name="predict_proba")]
    status, answer = server.ask("POST", INFER, request.model_dump_json().encode())
    assert status == 200, answer
    response = mlserver.require("InferenceResponse", answer)
    assert (response.id, response.model_name, response.model_version) == ("a-1", "delays", "v1.2.0")
    predict, proba = (mlserver.codecs.NumpyCodec.decode_output(output) for output in response.outputs)
    np.testing.assert_array_equal(predict.ravel(), pipeline.predict(frame))
    np.testing.assert_allclose(proba, pipeline.predict_proba(frame))


def test_arrays_and_texts_that_mlserver_encodes_are_read(
    server: ServerProcess, mlserver: MLServer, pipeline: Pipeline
) -> None:
    frame = pd.DataFrame({"distance": [900.0, 1200.0], "carrier": ["AA", "B6"], "hour": [7, 19]})
    encode = mlserver.codecs.NumpyCodec.encode_input
    inputs = [
        encode("distance", frame["distance"].to_numpy()),
        mlserver.codecs.StringCodec.encode_input("carrier", frame["carrier"].tolist()),
        encode("hour", frame["hour"].to_numpy()),
    ]
    request = mlserver.types.InferenceRequest(inputs=inputs, parameters={"content_type": "np", "headers": {"a": "b"}})
    status, answer = server.ask("POST", INFER, request.model_dump_json().encode())
    assert status == 200, answer
    output = mlserver.require("InferenceResponse", answer).outputs[0]
    assert list(mlserver.codecs.NumpyCodec.decode_output(output).ravel()) == list(pipeline.predict(frame))


@pytest.mark.parametrize(
    ("path", "name"), [(INFER, "InferenceErrorResponse"), ("/v2/models/x", "MetadataModelErrorResponse")]
)
def test_errors_are_as_mlservers_types_say(server: ServerProcess, mlserver: MLServer, path: str, name: str) -> None:
    status, answer = server.ask("POST" if path == INFER else "GET", path, b"{" if path == INFER else None)
    assert status in (400, 404)
    assert mlserver.require(name, answer).error
