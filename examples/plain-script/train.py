"""Trains a classifier of wines, and writes it with joblib."""

from pathlib import Path

import joblib
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier

wine = load_wine(as_frame=True)
wine.frame.to_csv("wine.csv", index=False)
model = RandomForestClassifier(n_estimators=30, random_state=0).fit(wine.data, wine.target)
Path("models").mkdir(exist_ok=True)
joblib.dump(model, "models/wine.pkl")
