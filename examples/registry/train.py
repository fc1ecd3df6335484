"""Trains two regressions of a house's price, one with few columns and one with more."""

from pathlib import Path

import joblib
import pandas as pd
from sklearn.datasets import make_friedman1
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

rows, price = make_friedman1(n_samples=300, n_features=6, random_state=0)
frame = pd.DataFrame(rows, columns=["area", "rooms", "age", "floor", "distance", "noise"])
frame.assign(price=price).to_csv("houses.csv", index=False)
Path("models").mkdir(exist_ok=True)
joblib.dump(LinearRegression().fit(frame[["area", "rooms"]], price), "models/quick.joblib")
joblib.dump(DecisionTreeRegressor(max_depth=6, random_state=0).fit(frame, price), "models/exact.joblib")
