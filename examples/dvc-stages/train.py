"""Fits a ridge regression to the prepared rows, and measures it on the others."""

import json
from pathlib import Path

import joblib
import pandas as pd
import yaml
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

alpha = yaml.safe_load(Path("params.yaml").read_text())["alpha"]
train, test = pd.read_csv("data/train.csv"), pd.read_csv("data/test.csv")
model = make_pipeline(StandardScaler(), Ridge(alpha))
model.fit(train.drop(columns="progression"), train["progression"])
error = mean_absolute_error(test["progression"], model.predict(test.drop(columns="progression")))
Path("metrics.json").write_text(json.dumps({"mae": error}))
Path("models").mkdir(exist_ok=True)
joblib.dump(model, "models/diabetes.joblib")
