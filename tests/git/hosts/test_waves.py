"""A version goes from host to host in waves: what each host runs, whoever of them fails or is away."""

from __future__ import annotations

import pytest

from gitops_ml.clients.files.environments import full_names
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.targets import preview_all
from gitops_ml.control.environment.view import Options, View
from gitops_ml.control.sync import SyncResult
from gitops_ml.control.wait import wait
from gitops_ml.errors import EngineUnavailable, SourceError
from tests.git.conftest import git
from tests.git.hosts.simulated import NAME, Fleet, codes


def test_a_first_version_reaches_all_hosts_and_each_has_its_record(serving: Fleet) -> None:
    assert set(serving.versions.values()) == {"v1.0.0"}
    for name in serving.hosts:
        record = serving.record(name)
        assert record and record.serving and (record.engine, record.serving.version) == (f"engine-{name}", "v1.0.0")


def test_the_first_host_is_verified_before_the_others_begin(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    assert set(codes(serving.sync()).values()) == {0}
    assert set(serving.versions.values()) == {"v1.1.0"}
    promoted = {name: host.state(NAME).attempts[-1].settled for name, host in serving.hosts.items()}
    subjects = git(serving.folder, "log", "--format=%s", "--reverse", "origin/main").splitlines()
    recorded = [line for line in subjects if line.startswith("Record") and "v1.1.0" in line]
    assert len(promoted) == len(recorded) == 3 and recorded[0].startswith("Record dev@leeds/churn v1.1.0: verified")


def test_a_version_that_fails_on_the_first_host_reaches_no_other(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    serving.fail("leeds")
    outcomes = serving.sync()
    assert codes(outcomes) == {"leeds": 3, "york": 0, "hull": 0}
    assert set(serving.versions.values()) == {"v1.0.0"} and serving.declared() == "v1.0.0"
    assert [len(host.state(NAME).attempts) for host in serving.hosts.values()] == [2, 1, 1]


def test_a_version_that_fails_in_the_second_wave_goes_back_on_all_hosts(serving: Fleet) -> None:
    serving.declare("v1.1.0", 1, 2)
    serving.fail("york")
    outcomes = serving.sync()
    assert codes(outcomes)["york"] == 3
    assert set(serving.versions.values()) == {"v1.0.0"} and serving.declared() == "v1.0.0"
    assert [a.outcome for a in serving.hosts["leeds"].state(NAME).attempts] == ["promoted", "promoted", "promoted"]
    assert len(serving.hosts["hull"].state(NAME).attempts) == 1
    assert set(codes(serving.sync()).values()) == {0}


def test_without_a_revert_the_others_wait_and_say_for_whom(serving: Fleet) -> None:
    serving.run_on("leeds", "york", "hull", policy={"auto_revert": False})
    serving.declare("v1.1.0")
    serving.fail("leeds")
    outcomes = serving.sync()
    assert codes(outcomes) == {"leeds": 3, "york": 4, "hull": 4}
    york = outcomes["york"]
    assert isinstance(york, SyncResult)
    status = york.view.plan.statuses[0]
    assert status.waiting and status.waiting.hosts == ("leeds",)
    assert status.message == "v1.1.0 waits until it is Verified on leeds"
    serving.hosts["leeds"].behaviour.verdicts.clear()
    assert set(codes(serving.sync(options=Options(retry=True))).values()) == {0}
    assert set(serving.versions.values()) == {"v1.1.0"}


def test_a_host_that_failed_holds_up_the_others_also_while_it_is_away(serving: Fleet) -> None:
    serving.run_on("leeds", "york", "hull", policy={"auto_revert": False})
    serving.declare("v1.1.0")
    serving.fail("leeds")
    serving.sync()
    serving.hosts["leeds"].away = True
    outcomes = serving.sync()
    assert {name: codes(outcomes)[name] for name in ("york", "hull")} == {"york": 4, "hull": 4}
    assert [serving.hosts[name].version for name in ("york", "hull")] == ["v1.0.0", "v1.0.0"]


def test_a_late_host_takes_back_nothing_that_all_others_serve(serving: Fleet) -> None:
    serving.hosts["hull"].away = True
    serving.declare("v1.1.0")
    serving.sync()
    serving.hosts["hull"].away = False
    serving.fail("hull")
    outcomes = serving.sync()
    assert codes(outcomes) == {"leeds": 0, "york": 0, "hull": 5} and serving.declared() == "v1.1.0"
    hull = outcomes["hull"]
    assert isinstance(hull, SyncResult) and "it is Verified on every other host" in str(hull.record_error)
    assert serving.versions == {"leeds": "v1.1.0", "york": "v1.1.0", "hull": "v1.0.0"}


def test_a_tip_that_cannot_be_read_drops_no_host(serving: Fleet) -> None:
    serving.pull()
    (serving.folder / "environments/dev/environment.yaml").write_text("schema: 1\nengine: [\n")
    serving.push("Break the file")
    tip = git(serving.folder, "rev-parse", "HEAD")
    with Repository.open(serving.folder) as repo:
        assert full_names(repo, tip, ["dev"]) == ["dev@leeds", "dev@york", "dev@hull"]


def test_without_the_base_image_a_host_waits_for_nobody_before_it_has_got_it(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    assert codes(serving.sync("dev@leeds")) == {"leeds": 0}
    serving.hosts["york"].lacks_base = True
    assert codes(serving.sync("dev@york")) == {"york": 0} and serving.versions["york"] == "v1.1.0"
    assert codes(serving.sync("dev@hull")) == {"hull": 0} and serving.versions["hull"] == "v1.1.0"


def test_without_the_base_image_a_host_of_a_later_wave_still_waits(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    serving.hosts["york"].lacks_base = True
    assert codes(serving.sync("dev@york")) == {"york": 4} and serving.versions["york"] == "v1.0.0"


def test_a_host_that_is_away_holds_up_nobody_and_is_caught_up(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    serving.hosts["leeds"].away = True
    outcomes = serving.sync()
    assert isinstance(outcomes["leeds"], EngineUnavailable) and codes(outcomes) == {"york": 0, "hull": 0}
    assert [serving.hosts[name].version for name in ("york", "hull")] == ["v1.1.0", "v1.1.0"]
    assert len(serving.hosts["york"].state(NAME).attempts) == 2
    serving.hosts["leeds"].away = False
    assert serving.versions["leeds"] == "v1.0.0"
    assert set(codes(serving.sync()).values()) == {0} and serving.versions["leeds"] == "v1.1.0"


def test_a_host_that_is_lost_in_its_wave_leaves_the_rollout_to_the_next(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    leeds = serving.hosts["leeds"]

    def lose(deployment: str) -> None:
        if leeds.state(NAME).open:
            leeds.away = True
            raise EngineUnavailable("the engine does not answer")

    leeds.step = lose
    outcomes = serving.sync()
    assert isinstance(outcomes["leeds"], EngineUnavailable) or codes(outcomes)["leeds"] == 1
    assert [serving.hosts[name].version for name in ("york", "hull")] == ["v1.1.0", "v1.1.0"]
    leeds.step, leeds.away = lambda deployment: None, False
    assert set(codes(serving.sync()).values()) == {0} and serving.versions["leeds"] == "v1.1.0"


def test_a_host_that_is_away_at_the_first_sync_is_deployed_later(fleet: Fleet) -> None:
    fleet.run_on("leeds", "york")
    fleet.declare("v1.0.0")
    fleet.hosts["york"].away = True
    fleet.sync()
    assert fleet.versions["leeds"] == "v1.0.0"
    fleet.hosts["york"].away = False
    assert set(codes(fleet.sync()).values()) == {0} and fleet.versions["york"] == "v1.0.0"


def test_hosts_that_are_synced_alone_take_part_in_the_waves(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    assert codes(serving.sync("dev@york")) == {"york": 4}
    assert codes(serving.sync("dev@leeds")) == {"leeds": 0}
    assert codes(serving.sync("dev@york")) == {"york": 0}
    assert serving.versions == {"leeds": "v1.1.0", "york": "v1.1.0", "hull": "v1.0.0"}


def test_the_one_host_of_an_environment_becomes_one_of_several(fleet: Fleet) -> None:
    fleet.run_on("leeds", engine="ssh://leeds", engines=None)
    fleet.declare("v1.0.0")
    fleet.hosts[""] = fleet.hosts["leeds"]
    fleet.sync()
    del fleet.hosts[""]
    attempts = fleet.hosts["leeds"].state(NAME).attempts
    fleet.run_on("leeds", "york")
    fleet.pull()
    fleet.push("Add york")
    assert set(codes(fleet.sync()).values()) == {0}
    assert set(fleet.versions.values()) == {"v1.0.0"}
    assert len(fleet.hosts["leeds"].state(NAME).attempts) == len(attempts) == 1
    assert fleet.record("leeds") and fleet.record("york")


def test_two_addresses_of_one_engine_are_an_error(fleet: Fleet) -> None:
    fleet.run_on("leeds", "leeds.example.org", "york")
    fleet.hosts["leeds.example.org"] = fleet.hosts["leeds"]
    fleet.declare("v1.0.0")
    outcomes = fleet.sync()
    (error,) = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
    assert "are the same host" in str(error)


def test_the_plan_says_which_hosts_wait_and_for_nobody_who_is_away(serving: Fleet) -> None:
    serving.declare("v1.1.0", 1, 2)

    def plans() -> dict[str, str | tuple[str, ...]]:
        """What each host that answers does first, or whom it waits for."""
        views = [each for each in preview_all(serving.targets(), Options()) if isinstance(each, View)]
        waiting = {view.desired.host: view.plan.statuses[0].waiting for view in views}
        return {
            view.desired.host: waits.hosts if (waits := waiting[view.desired.host]) else view.plan.lines()[0][:21]
            for view in views
        }

    assert plans() == {"leeds": "begin dev@leeds/churn", "york": ("leeds",), "hull": ("leeds", "york")}
    serving.hosts["leeds"].away = True
    assert plans() == {"york": "begin dev@york/churn ", "hull": ("york",)}


def test_records_on_a_branch_of_their_own_open_the_next_wave(serving: Fleet) -> None:
    serving.run_on("leeds", "york", records={"branch": "records"})
    serving.declare("v1.1.0")
    assert codes(serving.sync()) == {"leeds": 0, "york": 0}
    assert [serving.hosts[name].version for name in ("leeds", "york")] == ["v1.1.0", "v1.1.0"]
    assert "records/leeds" in git(serving.folder, "ls-tree", "-r", "--name-only", "origin/records")


def test_waiting_for_a_verdict_lasts_until_the_waves_before_are_done(serving: Fleet) -> None:
    serving.declare("v1.1.0")
    (york,) = serving.targets("dev@york")
    with pytest.raises(SourceError) as caught:
        wait(york, None, timeout=2.0, interval=1.0)
    assert "dev@york/churn: v1.1.0 waits until it is Verified on leeds" in (caught.value.why or "")
    serving.sync()
    assert wait(york, None, timeout=2.0, interval=1.0).exit_code == 0
