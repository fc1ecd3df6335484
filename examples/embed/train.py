"""Trains a classifier of wines by their grape, and writes the rows that it has not seen for the judge."""

from pathlib import Path

import skops.io
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

COLUMNS = ["alcohol", "flavanoids", "color_intensity", "proline"]

frame = load_wine(as_frame=True).frame[[*COLUMNS, "target"]]
train, holdout = train_test_split(frame, test_size=0.5, random_state=0, stratify=frame["target"])
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train[COLUMNS].to_numpy(), train["target"])
Path("models").mkdir(exist_ok=True)
skops.io.dump(model, "models/wines.skops")
Path("data").mkdir(exist_ok=True)
holdout.to_csv("data/holdout.csv", index=False)
