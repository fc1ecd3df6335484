"""The sections of params.yaml as types, so that a misspelt key is an error.

Each stage reads only its own section, so DVC reruns only the stages that a change concerns. All other sections are the
user's own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from gitops_ml.errors import InputError
from gitops_ml.suggest import did_you_mean

ColumnType = Literal["text", "number", "integer", "boolean"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A section of params.yaml, or a part of a section."""


class Source(Section, frozen=True, kw_only=True):
    """A table to collect.

    Args:
        file: a CSV (compressed or not) or Parquet file, or a glob of them, relative to the repository.
        package: import name of an installed distribution that holds `file`; the package is never imported.
        sha256: hex digest of the file; a file of another digest stops the stage. Only for a single file.
        columns: the columns to keep; all of them if empty.
        time: column with the time of each row (ISO 8601); without it the table is collected whole.
        types: the type of a column: text, number, integer or boolean. Without it, pandas guesses; a guess that would
            lose something is refused.
        missing: by column, the words that mean a missing value there, beside an empty field.
    """

    file: str
    package: str | None = None
    sha256: str | None = None
    columns: list[str] = []
    time: str | None = None
    types: dict[str, ColumnType] = {}
    missing: dict[str, list[str]] = {}


class Ingest(Section, frozen=True, kw_only=True):
    """The tables to collect, up to a month ("2013-05"; null: all months). Months begin as in `timezone`."""

    sources: dict[str, Source]
    until: str | None = None
    timezone: str = "UTC"


class Column(Section, frozen=True, kw_only=True):
    """The schema of a column. `checks` are names and arguments of `pandera.Check` (ge, le, isin, str_matches, …)."""

    dtype: str | None = None
    nullable: bool = False
    checks: dict[str, Any] = {}


class Table(Section, frozen=True, kw_only=True):
    """The schema of a table. A column that is not listed is an error, so that somebody decides about each new one."""

    columns: dict[str, Column]
    unique: list[str] = []
    min_rows: int = 1


class Freshness(Section, frozen=True, kw_only=True):
    """The newest row of `table` may be `max_age` old ("7d", "36h") at `now` (null: the current time)."""

    table: str
    column: str
    max_age: str
    now: str | None = None


class Validate(Section, frozen=True, kw_only=True):
    """Schemas of the tables that ingest collected, and how old they may be."""

    tables: dict[str, Table]
    freshness: Freshness | None = None


class Join(Section, frozen=True, kw_only=True):
    """Adds columns of `table` to the rows with equal values of `by`; a key that `table` has twice is an error."""

    table: str
    by: list[str]  # not `on`: YAML 1.1 reads that as true
    columns: list[str] = []
    how: Literal["left", "inner"] = "left"


class TargetExpression(Section, frozen=True, kw_only=True):
    """The column to predict, and the expression that computes it."""

    name: str
    expression: str


class TimeSplit(Section, frozen=True, kw_only=True, tag_field="by", tag="time"):
    """Train on the rows before `cut`, hold out the `months` from it on.

    Args:
        column: the time column.
        cut: a month ("2013-05"), or "newest" for the newest month that was collected.
        months: how many months are held out; later rows are left out.
        timezone: the time zone in which months begin.
    """

    column: str
    cut: str = "newest"
    months: int = 1
    timezone: str = "UTC"


class RandomSplit(Section, frozen=True, kw_only=True, tag_field="by", tag="random"):
    """Hold out this fraction of the rows, or of the groups if there is a group column, drawn with `seed`."""

    holdout: float = 0.2
    seed: int = 0


class Prepare(Section, frozen=True, kw_only=True):
    """How tables become training rows. Expressions are those of `pandas.DataFrame.eval`, applied in this order:
    joins, derive, target, filters.

    Args:
        keep: more columns to write, which are no features (the time column, a group column).
        group: column whose equal values mark dependent rows (a day); one of `keep`.
    """

    table: str
    target: TargetExpression
    features: list[str]
    split: TimeSplit | RandomSplit
    joins: list[Join] = []
    derive: dict[str, str] = {}
    filters: list[str] = []
    keep: list[str] = []
    group: str | None = None


class Component(Section, frozen=True, kw_only=True):
    """An estimator or transformer with the interface of scikit-learn, by import path.

    The string "$categorical" among its parameters stands for the positions of the categorical columns after encoding.
    """

    path: str
    params: dict[str, Any] = {}


class Train(Section, frozen=True, kw_only=True):
    """The model that is fitted to the prepared rows, and what its manifest says.

    Args:
        name: name of the model, as under `artifacts:` in dvc.yaml.
        features: columns to learn from, in the order of the model's inputs.
        categorical: the features that are text; the others are numbers.
        encode: transformer of the categorical columns (null: none).
        scale: transformer of the numeric columns (null: none).
        positive: the class whose probability the metrics judge; null for regression and for more than two classes.
        time_column: column whose range in the training rows goes into the manifest.
        trusted_types: types in the model that somebody has reviewed, beyond those of skops and `TRUSTED_TYPES`.
        label_noise: fraction of the training labels that are shuffled, for drills that need a bad model.
        seed: seed of that noise. Estimators have their own `random_state`.
        threads: threads that fit (OpenMP and BLAS). With more than one, the number of cores can change the model's
            bytes: it changes the order of sums, and scikit-learn's gradient boosting stores it.
    """

    name: str
    target: str
    features: list[str]
    estimator: Component
    task: Literal["classification", "regression"] = "classification"
    categorical: list[str] = []
    encode: Component | None = None
    scale: Component | None = None
    positive: str | bool | int | float | None = None
    time_column: str | None = None
    trusted_types: list[str] = []
    label_noise: float = 0.0
    seed: int = 0
    threads: int = 1


class Evaluate(Section, frozen=True, kw_only=True):
    """Bounds on the metrics; the stage fails beyond them. `threshold` turns a probability into a class."""

    threshold: float = 0.5
    min: dict[str, float] = {}
    max: dict[str, float] = {}


SectionT = TypeVar("SectionT", bound=Section)


def load_section(path: Path, section: type[SectionT]) -> SectionT:
    """Read the section of params.yaml that is named like its type, in lower case.

    Raises:
        InputError: no such file or section, an unknown key (with the nearest valid key), a wrong type.
    """
    name = section.__name__.lower()
    sections = _sections(path)
    if sections is None:
        raise InputError(
            f"{path} does not exist",
            why="the stages of gitops-ml read their parameters there",
            fix="run from the repository's root, or give --params",
        )
    if name not in sections:
        raise InputError(f"{path} has no section {name!r}", fix=f"add `{name}:` to {path}, see docs/pipeline.md")
    try:
        return msgspec.convert(sections[name], section)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path}: section {name!r} cannot be used", why=_reason(str(error), section), fix=f"edit {path}"
        ) from error


def has_section(path: Path, section: type[Section]) -> bool:
    """Whether params.yaml has this section, and for our stages: with a key that the section requires.

    A section of the same name may be the parameters of a team's own stage.

    Raises:
        InputError: the file is no YAML mapping.
    """
    content = (_sections(path) or {}).get(section.__name__.lower())
    required = {field.name for field in msgspec.structs.fields(section) if field.required}
    return isinstance(content, dict) and bool(required & set(content))


def _sections(path: Path) -> dict[str, Any] | None:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a YAML mapping", why=str(error), fix=f"edit {path}") from error


def _reason(message: str, section: type[Section]) -> str:
    unknown = re.search(r"unknown field `(.+?)`", message)
    advice = did_you_mean(unknown[1], _keys(section)) if unknown else ""
    return f"{message}; {advice}" if advice else message


def _keys(section: type[Section]) -> set[str]:
    """Every key that may occur anywhere in a section."""
    keys: set[str] = set()
    pending: list[Any] = [section]
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                keys.add(field.name)
                pending.append(field.type)
        else:
            pending.extend(getattr(kind, "__args__", ()))
    return keys
