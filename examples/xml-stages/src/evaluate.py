"""Measures the model on the posts that it has not seen."""

import json
import pickle
from pathlib import Path

from sklearn.metrics import accuracy_score

model = pickle.loads(Path("model.pkl").read_bytes())
rows, labels = pickle.loads(Path("data/features/test.pkl").read_bytes())
Path("metrics.json").write_text(json.dumps({"accuracy": accuracy_score(labels, model.predict(rows))}))
