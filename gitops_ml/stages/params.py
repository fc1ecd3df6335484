"""What params.yaml may say, as types, so that a misspelt key stops a stage instead of being ignored by it.

Each stage reads its own section and no other, which is what lets DVC rerun only what a change concerns. Sections that
belong to nobody here are the user's own and are left alone.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from gitops_ml.errors import InputError

Scalar = str | int | float | bool | None


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One section of params.yaml, or a part of one."""


class Source(Section, frozen=True, kw_only=True):
    """A table to collect.

    Args:
        file: a CSV (compressed or not) or Parquet file, or a glob of them, relative to the repository.
        package: an installed distribution's import name; `file` is then inside it, and it is never imported.
        sha256: hex digest of the file; another one stops the stage. Only for a single file.
        columns: those to keep; all of them when empty.
        time: column that says when a row came into being, as ISO 8601; without it the table is collected whole.
    """

    file: str
    package: str | None = None
    sha256: str | None = None
    columns: list[str] = []
    time: str | None = None


class Ingest(Section, frozen=True, kw_only=True):
    """Which tables, and up to which month ("2013-05"; null: all there is). Months are those of `timezone`."""

    sources: dict[str, Source]
    until: str | None = None
    timezone: str = "UTC"


class Column(Section, frozen=True, kw_only=True):
    """What a column has to be. `checks` are names and arguments of `pandera.Check` (ge, le, isin, str_matches, …)."""

    dtype: str | None = None
    nullable: bool = False
    checks: dict[str, Any] = {}


class Table(Section, frozen=True, kw_only=True):
    """What a table has to be. Columns that are not listed are errors, so that new ones are a decision."""

    columns: dict[str, Column]
    unique: list[str] = []
    min_rows: int = 1


class Freshness(Section, frozen=True, kw_only=True):
    """The newest row of `table` may be `max_age` old ("7d", "36h") at `now` (null: the clock's)."""

    table: str
    column: str
    max_age: str
    now: str | None = None


class Validate(Section, frozen=True, kw_only=True):
    """Schemas of the tables that ingest collected, and how old they may be."""

    tables: dict[str, Table]
    freshness: Freshness | None = None


class Join(Section, frozen=True, kw_only=True):
    """Brings the columns of `table` in by equal values of `by`; a key that `table` has twice is an error."""

    table: str
    by: list[str]  # not `on`: YAML 1.1 reads that as true
    columns: list[str] = []
    how: Literal["left", "inner"] = "left"


class Target(Section, frozen=True, kw_only=True):
    """The column to predict, and the expression that gives it."""

    name: str
    expression: str


class TimeSplit(Section, frozen=True, kw_only=True, tag_field="by", tag="time"):
    """Train on what lies before `cut`, hold out the `months` from it on.

    Args:
        column: the time column.
        cut: a month ("2013-05"), or "newest" for the newest month that was collected.
        months: how many months are held out; rows after them are left out.
        timezone: the one whose months these are.
    """

    column: str
    cut: str = "newest"
    months: int = 1
    timezone: str = "UTC"


class RandomSplit(Section, frozen=True, kw_only=True, tag_field="by", tag="random"):
    """Hold out this fraction of the rows, drawn with `seed`; of the groups, when there is a group column."""

    holdout: float = 0.2
    seed: int = 0


class Prepare(Section, frozen=True, kw_only=True):
    """How tables become rows to learn from. Expressions are those of `pandas.DataFrame.eval`, applied in order:
    joins, derive, target, filters.

    Args:
        keep: further columns that are written but not learnt from (the time column, a group column).
        group: column whose values name dependent rows (a day); one of `keep`.
    """

    table: str
    target: Target
    features: list[str]
    split: TimeSplit | RandomSplit
    joins: list[Join] = []
    derive: dict[str, str] = {}
    filters: list[str] = []
    keep: list[str] = []
    group: str | None = None


class Component(Section, frozen=True, kw_only=True):
    """Anything that scikit-learn can fit, by import path.

    The string "$categorical" among its parameters becomes the positions of the categorical columns after encoding.
    """

    path: str
    params: dict[str, Any] = {}


class Train(Section, frozen=True, kw_only=True):
    """What is fitted to the prepared rows, and what the artifact says about it.

    Args:
        name: of the model, the same as under `artifacts:` in dvc.yaml.
        features: columns to learn from, in the order of the model's inputs.
        categorical: those of them that are text; the others are numbers.
        encode: what the categorical columns go through; `scale`: the numeric ones (null: nothing).
        positive: the class whose probability the metrics are about; null for regression and for many classes.
        time_column: its range in the training rows goes into the manifest.
        trusted_types: types that skops does not know and that somebody has reviewed, beyond TRUSTED_TYPES.
        label_noise: fraction of the training labels that are drawn anew, for drills that need a bad model.
        seed: of that noise. Estimators have their own `random_state`.
        threads: that fit (OpenMP and BLAS). With more than one, another number of cores can give other bytes: sums
            come in another order, and scikit-learn's gradient boosting stores the number itself.
    """

    name: str
    target: str
    features: list[str]
    estimator: Component
    task: Literal["classification", "regression"] = "classification"
    categorical: list[str] = []
    encode: Component | None = None
    scale: Component | None = None
    positive: str | int | None = None
    time_column: str | None = None
    trusted_types: list[str] = []
    label_noise: float = 0.0
    seed: int = 0
    threads: int = 1


class Evaluate(Section, frozen=True, kw_only=True):
    """Bounds that the metrics have to keep, or the stage fails; `threshold` turns a probability into a class."""

    threshold: float = 0.5
    min: dict[str, float] = {}
    max: dict[str, float] = {}


SectionT = TypeVar("SectionT", bound=Section)


def load_section(path: Path, section: type[SectionT]) -> SectionT:
    """The section of params.yaml that is named like its type, in lower case.

    Raises:
        InputError: no such file or section, an unknown key (with the nearest valid one), a wrong type.
    """
    name = section.__name__.lower()
    try:
        everything = msgspec.yaml.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError as error:
        raise InputError(
            f"{path} does not exist",
            why="every stage is driven by it",
            fix="run from the repository's root, or give --params",
        ) from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path} is not a YAML mapping", why=str(error), fix=f"edit {path}") from error
    if name not in everything:
        raise InputError(f"{path} has no section {name!r}", fix=f"add `{name}:` to {path}, see docs/pipeline.md")
    try:
        return msgspec.convert(everything[name], section)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{path}: section {name!r} cannot be used", why=_reason(str(error), section), fix=f"edit {path}"
        ) from error


def _reason(message: str, section: type[Section]) -> str:
    unknown = re.search(r"unknown field `(.+?)`", message)
    nearest = difflib.get_close_matches(unknown[1], _keys(section), n=1) if unknown else []
    return f"{message}; did you mean `{nearest[0]}`?" if nearest else message


def _keys(section: type[Section]) -> set[str]:
    """Every key that may occur anywhere below a section."""
    found: set[str] = set()
    pending: list[Any] = [section]
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                found.add(field.name)
                pending.append(field.type)
        else:
            pending.extend(getattr(kind, "__args__", ()))
    return found
