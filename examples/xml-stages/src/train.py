"""Fits a forest to the matrix of words."""

import pickle
from pathlib import Path

import yaml
from sklearn.ensemble import RandomForestClassifier

params = yaml.safe_load(Path("params.yaml").read_text())["train"]
rows, labels = pickle.loads(Path("data/features/train.pkl").read_bytes())
model = RandomForestClassifier(params["trees"], random_state=params["seed"]).fit(rows, labels)
Path("model.pkl").write_bytes(pickle.dumps(model))
