"""A small slice of the worked example's real data: one week of flights in each of three months."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from gitops_ml.stages.ingest import ingest
from gitops_ml.stages.params import Ingest, Prepare, Source, Train, load_section
from gitops_ml.stages.tables import locate

ROOT = Path(__file__).parents[2]
PARAMS = ROOT / "params.yaml"
REQUIREMENTS = ROOT / "requirements" / "serving.txt"


@pytest.fixture(scope="session")
def slice_params(tmp_path_factory: pytest.TempPathFactory) -> Ingest:
    """The worked example's sources, cut down to the first seven days of January to March, as CSV files."""
    directory = tmp_path_factory.mktemp("sources")
    params = load_section(PARAMS, Ingest)
    sources: dict[str, Source] = {}
    for name, source in params.sources.items():
        rows = pd.read_csv(locate(name, source)[0])
        rows = rows[(rows["month"] <= 3) & (rows["day"] <= 7)]
        rows.to_csv(directory / f"{name}.csv", index=False)
        sources[name] = msgspec.structs.replace(source, package=None, sha256=None, file=str(directory / f"{name}.csv"))
    return msgspec.structs.replace(params, sources=sources, until=None)


@pytest.fixture(scope="session")
def raw(slice_params: Ingest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw")
    ingest(slice_params, out)
    return out


@pytest.fixture(scope="session")
def prepare_params() -> Prepare:
    return load_section(PARAMS, Prepare)


@pytest.fixture(scope="session")
def train_params() -> Train:
    """The worked example's parameters, with fewer and smaller trees."""
    params = load_section(PARAMS, Train)
    quick = params.estimator.params | {"max_iter": 10, "min_samples_leaf": 20}
    return msgspec.structs.replace(params, estimator=msgspec.structs.replace(params.estimator, params=quick))


@pytest.fixture(scope="session")
def requirements() -> Path:
    return REQUIREMENTS


@pytest.fixture
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
