"""The lineage of a model from a dvc.lock, and what changed between two of them."""

from __future__ import annotations

import math
from typing import Any

from msgspec import convert

from gitops_ml.core.versions.documents import DvcLock, Pipeline
from gitops_ml.core.versions.lineage import changes, flatten, lineage_in_lock
from gitops_ml.core.versions.stages import Stage, locked_stages

CONTENT: dict[str, Any] = {
    "schema": "2.0",
    "stages": {
        "ingest": {
            "deps": [{"path": "ingest.py", "md5": "1" * 32}],
            "params": {"params.yaml": {"ingest": {"until": "2013-05"}}},
            "outs": [{"path": "data/raw", "md5": "2" * 32 + ".dir"}],
        },
        "prepare": {
            "deps": [{"path": "data/raw/flights", "md5": "3" * 32}, {"path": "prepare.py", "md5": "4" * 32}],
            "outs": [{"path": "data/train.parquet", "md5": "5" * 32}],
        },
        "train": {
            "deps": [{"path": "data/train.parquet", "md5": "5" * 32}],
            "params": {"params.yaml": {"train.seed": 0}},
            "outs": [{"path": "models/m", "md5": "6" * 32}],
        },
        "evaluate": {
            "deps": [{"path": "models/m", "md5": "6" * 32}, {"path": "evaluate.py", "md5": "7" * 32}],
            "params": {"params.yaml": {"evaluate": {"min": 0.5}}},
        },
    },
}


def stages_of(content: dict[str, Any]) -> dict[str, Stage]:
    """The stages of a lock whose dvc.yaml has all of them."""
    lock = convert(content, DvcLock)
    return locked_stages(lock, Pipeline(stages={name: {} for name in lock.stages or {}}))


STAGES = stages_of(CONTENT)


def test_stages_are_followed_back_to_their_inputs() -> None:
    made = lineage_in_lock(STAGES, "models/m")
    assert made.stages == ("train", "prepare", "ingest")
    assert made.inputs == {"ingest.py": "md5:" + "1" * 32, "prepare.py": "md5:" + "4" * 32}
    assert list(made.data) == ["data/raw/flights", "data/train.parquet"]
    assert made.params == {"params.yaml:train.seed": 0, "params.yaml:ingest.until": "2013-05"}


def test_a_path_that_is_not_in_the_lock_has_no_lineage() -> None:
    assert lineage_in_lock(STAGES, "models/other").stages == ()
    assert lineage_in_lock({}, "models/m").stages == ()
    assert lineage_in_lock(stages_of({"stages": {"train": {}}}), "models/m").stages == ()


def test_paths_of_a_stage_that_works_in_another_folder_start_from_the_lock_s() -> None:
    """Else its inputs, the held-out rows among them, would be no inputs of the model."""
    lock = convert(
        {
            "stages": {
                "train": {
                    "deps": [{"path": "../data/rows.csv", "md5": "1" * 32}],
                    "params": {"params.yaml": {"seed": 1}},
                    "outs": [{"path": "model.pkl", "md5": "2" * 32}],
                }
            }
        },
        DvcLock,
    )
    stages = locked_stages(lock, Pipeline(stages={"train": {"wdir": "work"}}))
    made = lineage_in_lock(stages, "work/model.pkl")
    assert (made.inputs, made.params) == ({"data/rows.csv": "md5:" + "1" * 32}, {"work/params.yaml:seed": 1})


def test_stages_in_a_loop_are_followed_once() -> None:
    loop = {
        "a": {"deps": [{"path": "y"}], "outs": [{"path": "x"}]},
        "b": {"deps": [{"path": "x"}], "outs": [{"path": "y"}]},
    }
    assert lineage_in_lock(stages_of({"stages": loop}), "x").stages == ("a", "b")


def test_changes_have_both_values_and_nan_equals_nan() -> None:
    before, after = {"a": 1, "gone": 2, "n": math.nan}, {"a": 3, "new": 4, "n": math.nan}
    assert changes(before, after) == {"a": (1, 3), "gone": (2, None), "new": (None, 4)}


def test_nested_values_get_dotted_keys() -> None:
    assert flatten({"a": {"b": 1, "c": [1, 2]}, "d": None}) == {"a.b": 1, "a.c": [1, 2], "d": None}
