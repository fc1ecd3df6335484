"""Counts words; the matrices are pickled with their labels."""

import pickle
from pathlib import Path

import pandas as pd
import yaml
from sklearn.feature_extraction.text import TfidfVectorizer

words = yaml.safe_load(Path("params.yaml").read_text())["featurize"]["words"]
train, test = (pd.read_csv(f"data/prepared/{part}.tsv", sep="\t") for part in ("train", "test"))
counts = TfidfVectorizer(max_features=words).fit(train["text"])
folder = Path("data/features")
folder.mkdir(parents=True, exist_ok=True)
for name, part in (("train", train), ("test", test)):
    (folder / f"{name}.pkl").write_bytes(pickle.dumps((counts.transform(part["text"]), part["label"].to_numpy())))
