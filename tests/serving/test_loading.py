"""Models that must not be served: the process exits with 1, gives the reason on its last line, and binds no port."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from gitops_ml.errors import InputError, ModelRejected
from gitops_ml.serving.container_limits import cpu_limit, limit_threads
from gitops_ml.serving.prediction.estimator import ARGMAX, Estimator
from gitops_ml.serving.prediction.loader import load_estimator, load_model
from gitops_ml.serving.prediction.manifest import read_manifest
from gitops_ml.serving.server import load_app
from tests.serving.artifacts import rows, write_artifact
from tests.serving.conftest import IDENTITY, Start

MATRIX = [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}]
PREDICT = [{"name": "predict", "datatype": "INT64", "shape": [-1]}]


class Payload:
    """An attacker's pickle: loading it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def corrupt(folder: Path) -> str:
    content = bytearray((folder / "model.skops").read_bytes())
    content[200:1200] = b"\0" * 1000
    (folder / "model.skops").write_bytes(content)
    return "cannot be loaded"


def truncated(folder: Path) -> str:
    content = (folder / "model.skops").read_bytes()
    (folder / "model.skops").write_bytes(content[: len(content) // 2])
    return "cannot be loaded"


def no_zip(folder: Path) -> str:
    (folder / "model.skops").write_bytes(pickle.dumps(Payload(folder / "owned")))
    return "cannot be loaded"


def absent(folder: Path) -> str:
    (folder / "model.skops").unlink()
    return "the model's file 'model.skops' cannot be used"


def foreign_function(folder: Path) -> str:
    """A skops file whose schema asks for os.system, as an attacker would write it by hand."""
    skops.io.dump(make_pipeline(FunctionTransformer(np.log1p)), folder / "model.skops")
    with zipfile.ZipFile(folder / "model.skops") as archive:
        schema = archive.read("schema.json").decode()
    for module, name in (("numpy", "log1p"), ("numpy", "ufunc")):
        schema = schema.replace(f'"{name}"', '"system"').replace(f'"{module}"', '"os"')
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        archive.writestr("schema.json", schema)
    return "os.system"


def untrusted_type(folder: Path) -> str:
    skops.io.dump(make_pipeline(FunctionTransformer(rows)), folder / "model.skops")
    return "tests.serving.artifacts.rows"


def no_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "the model has no manifest.json"


def unknown_key(folder: Path) -> str:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "colour": "red"}))
    return "unknown field `colour`"


def outside(folder: Path) -> str:
    (folder.parent / "elsewhere.skops").write_bytes((folder / "model.skops").read_bytes())
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "file": "../elsewhere.skops"}))
    return "'../elsewhere.skops' cannot be used: the manifest must name a file inside the artifact"


def wrong_output(folder: Path) -> str:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["outputs"][0]["name"] = "fit"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return "the model has no output 'fit'"


def unfit_example(folder: Path) -> str:
    example = json.loads((folder / "example.json").read_bytes())
    (folder / "example.json").write_text(json.dumps({"inputs": example["inputs"][:1]}))
    return "the model fails on its own example.json: ProtocolError: missing input 'carrier', 'hour'"


def pickled(folder: Path) -> str:
    joblib.dump(Payload(folder / "owned"), folder / "model.joblib")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest |= {"format": "joblib", "file": "model.joblib"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return "the deployment does not allow pickles"


REFUSED = (
    corrupt,
    truncated,
    no_zip,
    absent,
    foreign_function,
    untrusted_type,
    no_manifest,
    unknown_key,
    outside,
    wrong_output,
    unfit_example,
    pickled,
)


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {**IDENTITY, "GITOPS_ML_MODEL_DIR": str(folder), **more}


@pytest.mark.parametrize("spoil", REFUSED)
def test_a_spoilt_model_is_refused_with_the_reason(
    tmp_path: Path, pipeline: Pipeline, spoil: Callable[[Path], str]
) -> None:
    folder = write_artifact(tmp_path / "model", pipeline)
    message = spoil(folder)
    with pytest.raises(ModelRejected) as refused:
        load_app(environment(folder))
    assert message in str(refused.value)
    assert not (folder / "owned").exists()


@pytest.mark.parametrize("spoil", [corrupt, foreign_function])
def test_the_process_exits_with_1_and_its_last_line_is_the_reason(
    tmp_path: Path, pipeline: Pipeline, start: Start, spoil: Callable[[Path], str]
) -> None:
    folder = write_artifact(tmp_path / "model", pipeline)
    message = spoil(folder)
    server = start(folder)
    assert server.process.wait(60) == 1
    last = server.log_lines()[-1]
    assert "CRITICAL refused to serve: " in last
    assert message in last
    with pytest.raises(ConnectionRefusedError):
        server.ask("GET", "/v2/health/live")


def test_an_estimator_that_is_a_pickle_is_loaded_only_for_a_caller_that_asks_for_it(
    tmp_path: Path, pipeline: Pipeline
) -> None:
    folder = write_artifact(tmp_path / "model", pipeline)
    pickled(folder)
    manifest = read_manifest(folder)
    with pytest.raises(ModelRejected, match="does not allow pickles"):
        load_estimator(folder, manifest)
    assert not (folder / "owned").exists()
    load_estimator(folder, manifest, allow_pickle=True)
    assert (folder / "owned").exists()


def test_a_pickle_is_loaded_if_the_deployment_allows_it(tmp_path: Path, pipeline: Pipeline) -> None:
    folder = write_artifact(tmp_path / "model", format="joblib", file="model.joblib")
    joblib.dump(pipeline, folder / "model.joblib")
    app, port = load_app(environment(folder, GITOPS_ML_ALLOW_PICKLE="1", GITOPS_ML_PORT="81"))
    assert (app.in_flight, port) == (0, 81)


def test_a_reviewed_type_in_the_manifest_is_trusted(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(rows), RandomForestClassifier(2).fit([[0, 1], [1, 0]], [0, 1]))
    folder = write_artifact(
        tmp_path / "model", model, inputs=MATRIX, outputs=PREDICT, trusted_types=["tests.serving.artifacts.rows"]
    )
    assert isinstance(load_model(folder)[1], Estimator)


def test_tree_models_need_no_reviewed_types(tmp_path: Path) -> None:
    forest = RandomForestClassifier(3, random_state=0).fit([[0.0, 1.0], [1.0, 0.0]] * 9, [0, 1] * 9)
    folder = write_artifact(tmp_path / "model", forest, inputs=MATRIX, outputs=PREDICT)
    _, model = load_model(folder)
    answer = model.predict({"x": np.array([[0.0, 1.0], [1.0, 0.0]])}, ["predict"])
    assert isinstance(answer, dict)
    assert answer["predict"].tolist() == [0, 1]


def test_shared_steps_give_the_answers_of_each_method_alone(tmp_path: Path, pipeline: Pipeline) -> None:
    _, model = load_model(write_artifact(tmp_path / "model", pipeline))
    frame = rows(200, seed=9)
    columns: Any = {name: frame[name].tolist() for name in frame}
    both = model.predict(columns, ["predict", "predict_proba"])
    alone = model.predict(columns, ["predict_proba"])
    assert isinstance(both, dict) and isinstance(alone, dict)
    np.testing.assert_array_equal(both["predict"], pipeline.predict(frame))
    np.testing.assert_array_equal(both["predict_proba"], alone["predict_proba"])


ARGMAX_MODELS = [
    HistGradientBoostingClassifier(max_iter=5, random_state=0),
    RandomForestClassifier(4, max_depth=2, random_state=0),
    ExtraTreesClassifier(4, max_depth=2, random_state=0),
    DecisionTreeClassifier(max_depth=2, random_state=0),
    LogisticRegression(),
]


@pytest.mark.parametrize("classifier", ARGMAX_MODELS, ids=lambda classifier: type(classifier).__name__)
@pytest.mark.parametrize("classes", [["no", "yes"], [3, 5, 9]])
def test_labels_from_probabilities_equal_the_estimators(tmp_path: Path, classifier: Any, classes: list[Any]) -> None:
    random = np.random.default_rng(0)
    points = random.integers(0, 4, (400, 2)).astype(float)  # few values, so that rows tie
    model = clone(classifier).fit(points, random.choice(classes, 400))
    assert f"{type(model).__module__}.{type(model).__qualname__}" in ARGMAX
    outputs = [PREDICT[0], {"name": "predict_proba", "datatype": "FP64", "shape": [-1, len(classes)]}]
    folder = write_artifact(tmp_path / "model", model, inputs=MATRIX, outputs=outputs)
    answer = load_model(folder)[1].predict({"x": points}, ["predict", "predict_proba"])
    assert isinstance(answer, dict)
    np.testing.assert_array_equal(answer["predict"], model.predict(points))
    np.testing.assert_array_equal(answer["predict_proba"], model.predict_proba(points))


def test_a_tie_is_left_to_the_estimator(tmp_path: Path) -> None:
    """With equal probabilities the label comes from `predict`, which differs from argmax here."""
    model = DecisionTreeClassifier().fit([[0.0, 0.0]] * 4, [0, 1, 0, 1])
    folder = write_artifact(tmp_path / "model", model, inputs=MATRIX, outputs=PREDICT)
    _, loaded = load_model(folder)
    assert isinstance(loaded, Estimator)
    asked: list[int] = []

    def predict(data: Any) -> Any:
        asked.append(len(data))
        return np.ones(len(data))

    loaded._whole.predict = predict
    answer = loaded.predict({"x": np.zeros((3, 2))}, ["predict_proba", "predict"])
    assert asked == [3]
    assert answer["predict"].tolist() == [1, 1, 1]


def test_missing_environment_variables_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="GITOPS_ML_VERSION, GITOPS_ML_DIGEST not set"):
        load_app({"GITOPS_ML_DEPLOYMENT": "a", "GITOPS_ML_MODEL": "b", "GITOPS_ML_GENERATION": "c"})
    with pytest.raises(InputError, match="GITOPS_ML_PORT is 'x'"):
        load_app(environment(tmp_path, GITOPS_ML_PORT="x"))


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_threads_follow_the_cpu_limit(tmp_path: Path, files: dict[str, str], wanted: int) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cpu_limit(tmp_path) == wanted
    assert cpu_limit(tmp_path / "none") >= 1
    env = {"OMP_NUM_THREADS": "7"}
    limit_threads(env)
    assert env["OMP_NUM_THREADS"] == "7"
    assert int(env["OPENBLAS_NUM_THREADS"]) == cpu_limit()
