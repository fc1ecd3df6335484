"""Reads the text of an MLflow folder's `MLmodel`."""

from __future__ import annotations

from gitops_ml.artifacts.mlflow_folder import MAX_BYTES, MLMODEL, MlflowModel, parse_mlmodel
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.errors import InputError, ModelRejected


def read_mlmodel(content: bytes) -> MlflowModel:
    """Read an `MLmodel`.

    Raises:
        ModelRejected: it is larger than `MAX_BYTES`, no YAML, or as `parse_mlmodel`.
    """
    if len(content) > MAX_BYTES:
        raise ModelRejected(
            f"the model's {MLMODEL} has {len(content):,} bytes",
            why=f"{MAX_BYTES:,} are allowed",
            fix="save the model again with mlflow's save_model",
        )
    try:
        return parse_mlmodel(load(content, MLMODEL))
    except InputError as error:
        raise ModelRejected(error.what, why=error.why, fix="save the model again with mlflow's save_model") from error
