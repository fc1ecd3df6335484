"""Tests of the order in which workers take the files of tests."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import LONGEST, dealt

FOLDER = Path(__file__).parent


def test_the_longest_files_begin_and_three_others_follow_each_end_to_end_one() -> None:
    end_to_end = ["tests/e2e/agent/test_agent.py", "tests/e2e/workflows/test_adopt.py"]
    others = [f"tests/unit/test_{letter}.py" for letter in "abcdefgh"]
    files = [*end_to_end, *others]
    assert dealt(files) == [end_to_end[1], *others[:3], end_to_end[0], *others[3:6], *others[6:]]
    assert dealt(others) == others
    assert dealt(end_to_end[:1]) == end_to_end[:1]


def test_the_longest_files_are_there() -> None:
    assert [name for name in LONGEST if not (FOLDER / "e2e" / name).is_file()] == []
