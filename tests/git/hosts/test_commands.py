"""Commands that name an environment work on all of its hosts: each host is named, and the worst exit code is theirs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitops_ml.control.environment import targets
from gitops_ml.errors import PushRejected
from tests.git.cli_clone import cli
from tests.git.hosts.simulated import NAME, Fleet


@pytest.fixture
def several(serving: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Three hosts that serve v1.0.0, which commands reach."""
    monkeypatch.setattr(targets, "list_targets", lambda repo, names, *_: serving.targets(*names))
    return serving


def answer(fleet: Fleet, *words: str) -> tuple[int, Any]:
    """The exit code and the JSON of a command."""
    done = cli(fleet.folder, *words, "-o", "json")
    return done.exit_code, json.loads(done.stdout)


def judge(fleet: Fleet, host: str, verdict: Any) -> None:
    """Have the serving version come to another verdict on a host, from now on."""
    serving = fleet.hosts[host].state(NAME).serving
    assert serving
    fleet.hosts[host].behaviour.verdicts[serving.fingerprint] = verdict


def verdicts(told: Any) -> dict[str, str]:
    """The verdict on each host."""
    return {host["host"]: host["deployments"][0]["verdict"] for host in told["environments"]}


def test_verify_judges_every_host(several: Fleet) -> None:
    code, told = answer(several, "verify", "dev")
    assert (code, verdicts(told)) == (0, dict.fromkeys(("leeds", "york", "hull"), "Verified"))
    assert {host["environment"] for host in told["environments"]} == {"dev"} and "deployments" not in told


def test_verify_of_one_host_has_its_fields_at_the_top_too(several: Fleet) -> None:
    code, told = answer(several, "verify", "dev@york")
    assert (code, told["host"], told["deployments"]) == (0, "york", told["environments"][0]["deployments"])


def test_verify_comes_to_the_worst_of_the_hosts(several: Fleet) -> None:
    judge(several, "york", "Inconclusive")
    code, told = answer(several, "verify", "dev")
    assert (code, verdicts(told)) == (4, {"leeds": "Verified", "york": "Inconclusive", "hull": "Verified"})
    judge(several, "hull", "Failed")
    assert answer(several, "verify", "dev")[0] in (PushRejected.exit_code, 3)
    shown = cli(several.folder, "verify", "dev").stdout
    assert [f"dev@{name}/{NAME}  v1.0.0" in shown for name in several.hosts] == [True] * 3


def test_verify_names_a_host_that_is_away_and_judges_the_others(several: Fleet) -> None:
    several.hosts["leeds"].away = True
    code, told = answer(several, "verify", "dev")
    assert (code, verdicts(told)) == (1, {"york": "Verified", "hull": "Verified"})
    assert "ssh://leeds does not answer" in told["errors"][0]["what"]


def test_wait_comes_to_the_worst_of_the_hosts(several: Fleet) -> None:
    code, told = answer(several, "wait", "dev")
    assert (code, told["verdicts"]) == (0, {NAME: "Verified"})
    assert [host["host"] for host in told["environments"]] == ["leeds", "york", "hull"]
    several.hosts["york"].away = True
    done = cli(several.folder, "wait", "dev", "--timeout", "2s", "--interval", "1s")
    assert done.exit_code == 1 and "ssh://york does not answer" in done.stderr
    assert [f"dev@{name} " in done.stdout for name in several.hosts] == [True, False, True]


def test_history_names_the_host_of_each_attempt(several: Fleet) -> None:
    several.run_on("leeds", "york", "hull", policy={"auto_revert": False})
    several.declare("v1.1.0", 1, 2)
    several.fail("york")
    several.sync()
    _, told = answer(several, "history", "dev")
    attempts = [(a["host"], a["version"], a["verdict"]) for a in told["records"][NAME]["attempts"]]
    assert sorted(attempts) == [
        ("hull", "v1.0.0", "Verified"),
        ("leeds", "v1.0.0", "Verified"),
        ("leeds", "v1.1.0", "Verified"),
        ("york", "v1.0.0", "Verified"),
        ("york", "v1.1.0", "Failed"),
    ]
    shown = cli(several.folder, "history", "dev").stdout
    assert shown.count(" on leeds  Verified") == 2 and shown.count(" on york  Failed") == 1
    assert " on " not in cli(several.folder, "history", "dev@york").stdout
