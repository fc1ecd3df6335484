"""Trains a logistic regression, writes it as JSON for app.py, and the rows that it has not seen for the judge."""

import json
from pathlib import Path

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

COLUMNS = ["mean radius", "mean texture"]

frame = load_breast_cancer(as_frame=True).frame[[*COLUMNS, "target"]]
train, holdout = train_test_split(frame, test_size=0.4, random_state=0, stratify=frame["target"])
model = LogisticRegression(max_iter=1000).fit(train[COLUMNS], train["target"])
weights = dict(zip(COLUMNS, model.coef_[0].tolist(), strict=True))
Path("model.json").write_text(json.dumps({"intercept": float(model.intercept_[0]), "weights": weights}) + "\n")
Path("data").mkdir(exist_ok=True)
holdout.to_csv("data/holdout.csv", index=False)
