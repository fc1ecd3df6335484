"""The months of 2013 arrive one by one: how data changes, how an old model fares, what the gate decides.

For each month: how often flights are late; a model trained on January to March and a model trained on all months
before, both judged on that month, which neither has seen; then the gate of params.yaml between this month's model and
last month's. Real data, the code of the stages, one training for each month. Prints a Markdown table.

    make bench NAME=months
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from gitops_ml.artifacts.manifest import Manifest, parse_manifest
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.core.verification.answers import Answers, LabelledRows, ModelAnswers
from gitops_ml.core.verification.gate import Gate, Gated, judge_gate
from gitops_ml.retraining.drift import data_drift
from gitops_ml.stages.artifact import model_inputs, read_artifact
from gitops_ml.stages.ingest import ingest
from gitops_ml.stages.params import Ingest, Prepare, TimeSplit, Train, load_section
from gitops_ml.stages.prepare import prepare
from gitops_ml.stages.train import train

ROOT = Path(__file__).parents[1]
PARAMS = ROOT / "params.yaml"
FIRST, LAST = 4, 12


class Month:
    """One month's rows, and the model that learnt from all months before it."""

    def __init__(self, number: int, folder: Path, raw: Path) -> None:
        self.name = f"2013-{number:02d}"
        self.folder = folder / self.name
        params = load_section(PARAMS, Prepare)
        assert isinstance(params.split, TimeSplit)
        params = msgspec.structs.replace(params, split=msgspec.structs.replace(params.split, cut=self.name))
        self.folder.mkdir()
        prepare(params, raw, self.folder / "train.parquet", self.folder / "holdout.parquet")
        self.rows = pd.read_parquet(self.folder / "holdout.parquet")
        learnt = pd.read_parquet(self.folder / "train.parquet")
        requirements = ROOT / "requirements" / "serving.txt"
        train(load_section(PARAMS, Train), learnt, requirements, self.folder / "model")
        self.model, _ = read_artifact(self.folder / "model")
        self.manifest: Manifest = parse_manifest((self.folder / "model" / "manifest.json").read_bytes())
        drift = data_drift(self.folder, Path("train.parquet"), Path("holdout.parquet"), PARAMS)
        self.drift = drift.features[0]

    def answers(self, rows: pd.DataFrame) -> Answers:
        params = load_section(PARAMS, Train)
        probability = self.model.predict_proba(model_inputs(rows, params.features, params.categorical))
        return Answers(np.asarray([0, 1])[probability.argmax(axis=1)], probability)


def gate(spec: Gate, rows: pd.DataFrame, candidate: Month, incumbent: Month) -> Gated:
    """The gate's verdict on one month's model against another's."""
    labels = LabelledRows(
        labels=rows["late"].to_numpy(),
        groups=rows["day"].to_numpy(),
        times=rows["time_hour"].dt.tz_localize(None).to_numpy().astype("datetime64[us]"),
    )
    return judge_gate(
        spec,
        labels,
        ModelAnswers(candidate.manifest, candidate.answers(rows)),
        ModelAnswers(incumbent.manifest, incumbent.answers(rows)),
    )


def figures(gated: Gated, metric: str) -> tuple[float, float, str]:
    """The candidate's value, the incumbent's, and the interval of the gain."""
    check = next(check for check in gated.checks if check.name == f"holdout {metric}")
    found = check.figures
    ends = f"{found['gain_low']:+.4f} … {found['gain_high']:+.4f}"
    assert isinstance(found["candidate"], float) and isinstance(found["incumbent"], float)
    return found["candidate"], found["incumbent"], ends


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--last", type=int, default=LAST, help="the last month, as a number")
    last = options.parse_args().last
    spec = msgspec.convert(load(PARAMS.read_bytes(), "params.yaml")["retrain"]["gate"], Gate)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gitops-ml-months-") as place:
        folder, raw = Path(place), Path(place) / "raw"
        ingest(msgspec.structs.replace(load_section(PARAMS, Ingest), until=f"2013-{last:02d}"), raw)
        months = [Month(number, folder, raw) for number in range(FIRST, last + 1)]
        stays = months[0]  # learnt from January to March
        print("| month | late | moved most, PSI | AUC: stays | monthly | Brier: stays | monthly | ", end="")
        print("gain on the one that stays: AUC | Brier | gate on it | gate on last month's |")
        print("|" + "---|" * 11)
        for before, month in zip([stays, *months], months, strict=False):
            line = [month.name, f"{month.rows['late'].mean():.3f}", f"{month.drift.column} {month.drift.index:.2f}"]
            if month is stays:
                line += ["", "", "", "", "", "", "", "the first one"]
            else:
                told = gate(spec, month.rows, month, stays)
                auc, brier = figures(told, "roc_auc"), figures(told, "brier")
                line += [f"{auc[1]:.3f}", f"{auc[0]:.3f}", f"{brier[1]:.4f}", f"{brier[0]:.4f}", auc[2], brier[2]]
                line += [said(told), said(gate(spec, month.rows, month, before))]
            print(f"| {' | '.join(line)} |", flush=True)
    print(f"\n{len(months)} models trained and judged in {time.monotonic() - began:.0f} s")


def said(gated: Gated) -> str:
    """The verdict, and what did not pass, with the interval of its gain."""
    shut = [
        f"{check.name.removeprefix('holdout ')} {check.result} ({figures(gated, check.name.split()[1])[2]})"
        for check in gated.checks
        if check.result != "pass"
    ]
    return ", ".join([gated.verdict, *shut])


if __name__ == "__main__":
    main()
