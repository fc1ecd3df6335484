"""Promotion, rollback and hold, as a team uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.workshop import MODEL, Workshop

pytestmark = pytest.mark.timeout(600)


def test_a_verified_version_is_promoted_after_its_soak(workshop: Workshop) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.environment("prod", promotion={"from": "dev", "soak": "1h"})
    workshop.commit("Declare prod")

    early = workshop.run("promote", MODEL, "--to", "prod", "--create")
    assert "dev/churn has nothing to promote: it has no record" in early.err
    workshop.sync()
    refused = workshop.run("promote", MODEL, "--to", "prod", "--create")
    assert refused.code == 1
    assert "v1.0.0 must stay Verified in dev for 59 m" in refused.err
    assert "this machine's clock" not in refused.err

    workshop.pull()
    workshop.environment("prod", promotion={"from": "dev"})
    workshop.commit("Let nothing soak")
    promoted = workshop.run("promote", MODEL, "--to", "prod", "--create", "--push", "-o", "json")
    assert promoted.code == 0, promoted.err
    assert json.loads(promoted.out)["digest"] == workshop.status()["digest"]
    workshop.sync("prod")
    assert workshop.serving("prod") == "v1.0.0"


def test_a_rollback_is_synced_like_any_other_commit(workshop: Workshop) -> None:
    for version in ("v1.0.0", "v2.0.0"):
        workshop.release(version)
        workshop.declare(version, env={"OF": version})
        workshop.sync()
    workshop.pull()
    rolled = workshop.run("rollback", "dev", MODEL, "--push")
    assert rolled.code == 0, rolled.err
    assert workshop.declared()["env"] == {"OF": "v1.0.0"}
    workshop.sync()
    assert workshop.serving() == "v1.0.0"
    assert workshop.status()["verification"] == "Verified"


def test_a_hold_and_then_a_closed_window_keep_the_incumbent(workshop: Workshop) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    workshop.pull()
    assert workshop.run("hold", "dev", MODEL, "--reason", "fair week", "--push").code == 0
    workshop.release("v2.0.0")
    bumped = workshop.run("bump", "dev", MODEL, "v2.0.0", "--push")
    assert bumped.code == 0, bumped.err
    workshop.sync(expect=4)
    assert (workshop.serving(), workshop.status()["hold"]) == ("v1.0.0", "fair week")
    assert workshop.run("release", "dev", MODEL, "--push").code == 0
    opens = datetime.now(UTC) + timedelta(hours=12)
    window = {"schedule": f"0 {opens.hour} * * *", "duration": "1h"}
    workshop.environment(policy={"windows": [window]})
    workshop.commit("Roll out by night")
    planned = workshop.run("plan", "dev")
    assert (planned.code, planned.out.split(" because ")[1]) == (
        4,
        f"the next window opens {opens:%Y-%m-%d %H}:00 UTC\n",
    )
    workshop.sync(expect=4)
    assert workshop.serving() == "v1.0.0"
    workshop.environment(policy={"windows": [window, {"schedule": "* * * * *", "duration": "1m"}]})
    workshop.commit("Roll out at any time")
    workshop.sync()
    assert workshop.serving() == "v2.0.0"


def test_doctor_recognises_our_own_gateway(workshop: Workshop) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    (workshop.folder / ".dvc").mkdir(exist_ok=True)
    done = workshop.run("doctor", "dev", "-o", "json")
    found = {f["what"]: f for f in json.loads(done.out)["findings"]}
    assert done.code == 0, done.out
    assert found[f"dev port {workshop.ports['dev']}"]["said"].startswith("our gateway ")
