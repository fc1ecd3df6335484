"""docs/reliability.md says what came of every scenario that there is, and a new script in the gateway is classified."""

from __future__ import annotations

from pathlib import Path

from gitops_ml.clients.gateway import layout
from tests.e2e.chaos.mutations import CHANGING, READING
from tests.e2e.chaos.results import PAGE, stored_results, tables
from tests.e2e.chaos.scenarios import SCENARIOS


def test_the_page_has_the_stored_results_of_every_scenario() -> None:
    assert tables(stored_results()) in PAGE.read_text()
    for scenario in SCENARIOS:
        assert f"\n| {scenario.name} |" in PAGE.read_text()


def test_each_script_of_the_gateway_either_reads_or_changes() -> None:
    scripts = {path.stem for path in (Path(layout.__file__).parent / "scripts").glob("*.sh")}
    assert {*READING, *CHANGING} == scripts - {"ask"}
