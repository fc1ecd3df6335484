"""Trains a classifier of irises, and saves it with MLflow."""

import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

iris = load_iris(as_frame=True)
species = iris.target.map(lambda number: iris.target_names[number])
model = LogisticRegression(max_iter=500).fit(iris.data, species)
signature = infer_signature(iris.data, model.predict(iris.data))
mlflow.sklearn.save_model(model, "iris", signature=signature, input_example=iris.data.head(3))
