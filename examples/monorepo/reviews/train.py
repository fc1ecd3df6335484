"""Fits a classifier to the texts of reviews."""

import pickle
from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

rows = pd.read_csv("reviews.tsv", sep="\t")
model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)).fit(rows["text"], rows["mood"])
Path("model.pkl").write_bytes(pickle.dumps(model))
