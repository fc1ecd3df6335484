"""Bad files and a bad remote give an error with what, why and fix, and change nothing on the host."""

from __future__ import annotations

import subprocess

import pytest
import yaml

from tests.e2e.bad_input.conftest import CHURN, DEV, Standing, churn_file

FEW = {"data": "data/few.csv", "group": "day", "metrics": {"roc_auc": {"max_drop": 0.1}}}
DECLARATIONS: dict[str, tuple[dict[str, str], list[str]]] = {
    "a YAML error": ({CHURN: "schema: 1\nmodel: churn\nversion: [v1.0.0\n"}, [f"{CHURN}:4"]),
    "an unknown key": (churn_file(replcas=2), [CHURN, "`replcas`", "`replicas`"]),
    "a wrong type": (churn_file(replicas="two"), [CHURN, "replicas"]),
    "a name that is no DNS label": ({"environments/dev/models/Churn_EU.yaml": churn_file()[CHURN]}, ["Churn_EU"]),
    "a version that does not exist": (churn_file(version="v9.9.9"), ["churn@v9.9.9"]),
    "a digest that the version does not hold": (churn_file(digest=f"md5:{'0' * 32}.dir"), ["churn@v1.0.0", "0" * 32]),
    "a model that is no artifact": (churn_file(model="chrun"), ["chrun", "churn"]),
    "held-out rows that are too few": (
        {"data/few.csv": "x,churned,day\n" + "0.5,1,1\n0.1,0,2\n" * 50}
        | churn_file(env={"LOG_LEVEL": "info"}, verify={"holdout": FEW}),
        ["data/few.csv holds 2 groups of `day`", "fewer than 10"],
    ),
    "a strategy that is not known": (churn_file(rollout={"strategy": "blue-gren"}), ["blue-gren", "blue-green"]),
}


@pytest.mark.parametrize("what", DECLARATIONS)
def test_a_bad_declaration_is_named_and_its_deployment_keeps_serving(standing: Standing, what: str) -> None:
    files, named = DECLARATIONS[what]
    with standing.declaring(files):
        said = standing.refused()
    assert [word for word in named if word not in said] == [], said


def test_an_unknown_key_of_an_environment_is_named_with_the_nearest(standing: Standing) -> None:
    port = standing.workshop.ports["dev"]
    with standing.declaring({DEV: f"schema: 1\ngatway: {{port: {port}}}\n"}):
        said = standing.refused()
    assert "`gatway`" in said
    assert "`gateway`" in said


def test_a_promotion_from_an_unknown_environment_is_named(standing: Standing) -> None:
    content = yaml.safe_load((standing.workshop.folder / DEV).read_text())
    with standing.declaring({DEV: yaml.safe_dump(content | {"promotion": {"from": "nowhere"}})}):
        said = standing.refused("plan", "dev")
    assert "promotion.from is `nowhere`" in said
    assert "declared: dev" in said
    with standing.declaring({DEV: yaml.safe_dump(content | {"promotion": {"from": "nowhere"}})}):
        standing.workshop.sync()  # what serves is healed all the same


def test_a_broken_declaration_is_reported_once_and_in_status_too(standing: Standing) -> None:
    with standing.declaring(churn_file(replcas=2)):
        for command in ("plan", "sync", "status"):
            assert standing.refused(command, "dev").count("replcas") == 1


def test_two_environments_on_one_port_are_both_named(standing: Standing) -> None:
    text = (standing.workshop.folder / DEV).read_text()
    with standing.declaring({"environments/staging/environment.yaml": text}):
        said = standing.refused("plan", "dev")
        assert f"dev and staging both listen on port {standing.workshop.ports['dev']}" in said
        standing.refused("sync", "staging")
        standing.workshop.sync()  # the gateway of dev holds the port: what serves is healed all the same


def test_a_remote_that_does_not_answer_changes_nothing(standing: Standing) -> None:
    away = standing.workshop.remote.with_name("away.git")
    standing.workshop.remote.rename(away)
    try:
        assert "the remote origin could not be fetched" in standing.refused()
    finally:
        away.rename(standing.workshop.remote)


def test_a_remote_that_lost_its_branch_changes_nothing(standing: Standing) -> None:
    subprocess.run(["git", "branch", "-m", "main", "lost"], cwd=standing.workshop.remote, check=True)
    try:
        assert "main" in standing.refused("plan", "dev")
    finally:
        subprocess.run(["git", "branch", "-m", "lost", "main"], cwd=standing.workshop.remote, check=True)
