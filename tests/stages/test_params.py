"""Every mistake in params.yaml stops a stage, with its place in the message."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.errors import InputError
from gitops_ml.stages.params import Evaluate, Ingest, Prepare, Section, TimeSplit, Train, Validate, load_section


@pytest.mark.parametrize("section", [Ingest, Validate, Prepare, Train, Evaluate])
def test_the_worked_example_is_read(section: type[Section]) -> None:
    load_section(Path(__file__).parents[2] / "params.yaml", section)


def test_the_key_by_chooses_the_kind_of_split(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "prepare: {table: t, target: {name: y, expression: x > 1}, features: [x], split: {by: time, column: at}}"
    )
    assert load_section(path, Prepare).split == TimeSplit(column="at")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evaluate: {treshold: 0.5}", "did you mean `threshold`"),
        ("prepare: {table: t, target: {name: y, expresion: x}, features: [x]}", "did you mean `expression`"),
        ("evaluate: {threshold: high}", r"Expected `float`, got `str` - at `\$.threshold`"),
        ("other: {}", "has no section"),
        ("- 1", "not a YAML mapping"),
        ("evaluate: {", "not a YAML mapping"),
    ],
)
def test_mistakes_are_refused_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_section(path, Prepare if text.startswith("prepare") else Evaluate)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml does not exist"):
        load_section(tmp_path / "nowhere.yaml", Evaluate)
