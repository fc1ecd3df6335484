"""Trains a classifier of tumours, and converts it to ONNX."""

from pathlib import Path

from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

data = load_breast_cancer(as_frame=True)
data.frame.to_csv("tumours.csv", index=False)
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data.to_numpy("float32"), data.target)
converted = to_onnx(model, data.data.to_numpy("float32")[:1], options={"zipmap": False})
Path("tumours.onnx").write_bytes(converted.SerializeToString())
