"""Fits a regression to an array, which has no names of columns."""

from pathlib import Path

import joblib
from sklearn.datasets import make_regression
from sklearn.ensemble import HistGradientBoostingRegressor

rows, prices = make_regression(n_samples=200, n_features=5, random_state=0)
Path("out").mkdir(exist_ok=True)
joblib.dump(
    HistGradientBoostingRegressor(max_iter=20, random_state=0).fit(rows, prices), "out/model.joblib", compress=3
)
