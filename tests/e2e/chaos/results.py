"""What came of the scenarios, each in a file of its own, and the table of docs/reliability.md, which is made of them.

`python -m tests.e2e.chaos.results` writes the table anew.
"""

from __future__ import annotations

import functools
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.e2e.chaos.kill_switch import MOMENTS
from tests.e2e.chaos.scenarios import SCENARIOS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reliability.md"
FOLDER = Path(__file__).parent / "results"
BEGIN, END = "<!-- made by `make chaos` -->\n", "<!-- end -->\n"


class Result(msgspec.Struct, kw_only=True):
    """What came of a scenario: the points that were tried, and why some of them failed.

    `sent` and `lost` count requests of users. `seconds` are those of the whole scenario.
    """

    scenario: str
    mutations: list[str]
    points: int = 0
    failures: list[str] = []
    sent: int = 0
    lost: int = 0
    seconds: float = 0.0


class Stored(msgspec.Struct, kw_only=True):
    """A result, the newest commit that has changed the tool's code, and its day."""

    result: Result
    commit: str
    day: str


def keep(result: Result) -> None:
    """Store a result in place of the scenario's last one."""
    stored = Stored(result=result, commit=_newest_commit(), day=time.strftime("%Y-%m-%d", time.gmtime()))
    _file_of(result.scenario).write_bytes(msgspec.json.format(msgspec.json.encode(stored), indent=1) + b"\n")


@functools.cache  # what is committed while a scenario runs is not what runs
def _newest_commit() -> str:
    command = ["git", "log", "-1", "--format=%h", "--abbrev=10", "--no-merges", "--", "gitops_ml"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def stored_results() -> dict[str, Stored]:
    """The stored results, by scenario."""
    return {s.name: _read(s.name) for s in SCENARIOS if _file_of(s.name).exists()}


def tables(results: dict[str, Stored]) -> str:
    """The tables of the page: what came of each scenario, and which mutations each has."""
    head = ["scenario", "mutations", "points tried", "converged", "requests", "lost", "minutes", "commit"]
    rows = [_row(scenario.name, results.get(scenario.name)) for scenario in SCENARIOS]
    mutations = [[s.name, _listed(results[s.name].result.mutations)] for s in SCENARIOS if s.name in results]
    return f"{_table(head, rows)}\n{_table(['scenario', 'its mutations, in order'], mutations)}"


def write_page() -> None:
    """Write the tables of the stored results into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{tables(stored_results())}\n{END}{rest.partition(END)[2]}")


def _row(name: str, stored: Stored | None) -> list[str]:
    if stored is None:
        return [name, "not run yet", *[""] * 6]
    result = stored.result
    converged = f"{result.points - len(result.failures)}"
    users = [f"{result.sent:,}", f"{result.lost:,}"] if result.sent else ["none", ""]
    minutes = f"{result.seconds / 60:.0f}"
    everything = len(MOMENTS) * len(result.mutations)
    tried = f"{result.points}" if result.points == everything else f"{result.points} of {everything}"
    figures = [f"{len(result.mutations)}", tried, converged, *users, minutes]
    return [name, *figures, f"`{stored.commit}`, {stored.day}"]


def _listed(mutations: Iterable[str]) -> str:
    return ", ".join(mutations)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _file_of(scenario: str) -> Path:
    return FOLDER / f"{re.sub(r'[^a-zA-Z]+', '-', scenario)}.json"


def _read(scenario: str) -> Stored:
    return msgspec.json.decode(_file_of(scenario).read_bytes(), type=Stored)


if __name__ == "__main__":
    write_page()
