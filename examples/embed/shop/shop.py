"""A web shop that tells the grape of each wine by the model that it finds in /model.

POST /grapes {"bottles": [{"alcohol": 13.7, …}]} answers {"bottles": [{"grape": "Barolo", "probabilities": [0.9, …]}]}.
"""

import json
from pathlib import Path

import skops.io
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

FOLDER = Path("/model")
GRAPES = ["Barolo", "Grignolino", "Barbera"]

model = skops.io.load(FOLDER / "wines.skops")
loaded = json.loads((FOLDER / "gitops-ml.json").read_text())
shop = FastAPI()


class Bottle(BaseModel):
    alcohol: float
    flavanoids: float
    color_intensity: float
    proline: float


class Bottles(BaseModel):
    bottles: list[Bottle]


SHELF = [
    Bottle(alcohol=13.7, flavanoids=3.0, color_intensity=5.5, proline=1100),
    Bottle(alcohol=12.3, flavanoids=2.1, color_intensity=3.0, proline=520),
]


def grapes(bottles):
    """The probability of each grape, for each bottle."""
    rows = [[b.alcohol, b.flavanoids, b.color_intensity, b.proline] for b in bottles]
    return model.predict_proba(rows).tolist()


@shop.get("/", response_class=HTMLResponse)
def page():
    wines = [GRAPES[each.index(max(each))] for each in grapes(SHELF)]
    return "<h1>Wines</h1><ul>" + "".join(f"<li>{wine}</li>" for wine in wines) + "</ul>"


@shop.post("/grapes")
def answer(asked: Bottles):
    answers = grapes(asked.bottles) if asked.bottles else []
    return {"bottles": [{"grape": GRAPES[each.index(max(each))], "probabilities": each} for each in answers]}


@shop.get("/version")
def version():
    return {"version": loaded["version"], "digest": loaded["digest"]}


@shop.get("/healthz")
def healthz():
    return {"status": "ok"}
