"""Each claim of SECURITY.md names tests, and each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_claim_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| ([^*|].*\.) \| (.*) \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    assert len(rows) > 25
    for claim, cell in rows:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", cell)
        assert tests and cell == ", ".join(f"`{file}::{test}`" for file, test in tests), claim
        for file, test in tests:
            assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{claim} {file}::{test}"
