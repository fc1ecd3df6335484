"""The story of the demo, chapter by chapter. Each chapter checks what it tells.

The figures behind the choice of the versions are in docs/pipeline.md.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

from gitops_ml.cli.demo import place
from gitops_ml.cli.demo.checks import asked, declared, expect, expect_none_failed, expect_verified, show_revert
from gitops_ml.cli.demo.narrator import Narrator
from gitops_ml.cli.demo.place import DemoPlace
from gitops_ml.cli.demo.team import DECLARATION, DEPLOYMENT, Team

USERS = 40.0
"""Requests a second that two cores can serve during a rollout."""
CANARY_USERS = 60.0
"""Requests a second in a canary, whose evidence comes in blocks of at least one second and 20 of its requests."""
SLOW = (50, 100, 200, 400, 800, 1600)
"""Candidates for `slow:` in milliseconds. The first that is at least `FACTOR` times the median latency is declared."""
FACTOR = 5

# The passages that the story edits, as they are before.
PARAMS = UNTIL, NOW, NOISE, TREES = ('until: "2013-05"', 'now: "2013-06-02"', "label_noise: 0.0", "max_iter: 100")
ONE_REPLICA, BLUE_GREEN = "replicas: 1", "rollout: {strategy: blue-green}"

HOLDOUT = """\
verify:
  holdout: {data: data/holdout.parquet, group: day, metrics: {roc_auc: {min: 0.70, max_drop: 0.01}}}
"""
TRAFFIC = "  traffic: {{max_bad_increase: 0.1, slow: {slow}ms, timeout: 5m}}\n"
THREADS = 'env: {OMP_NUM_THREADS: "64"}\n'


def tell(where: DemoPlace, narrator: Narrator, chapters: int) -> None:
    """Tell the first `chapters` chapters, then the state at the end. Raises `GitopsError` if a check fails."""
    place.require_images()
    began = time.monotonic()
    team = Team(where, narrator)
    begin = ""
    for title, chapter in CHAPTERS[:chapters]:
        with narrator.chapter(title):
            begin = chapter(team) or begin
    with narrator.chapter("Where everything stands"):
        the_end(team, begin, time.monotonic() - began)


def first_version(team: Team) -> str:
    """From data to a served model. Returns the commit that the clone began with."""
    team.tell.say("A team has this repository, with a Git remote, and a DVC remote for data and models.")
    begin = team.settle()
    port = f"port: {team.port}"
    before = (team.place.clone / "environments/dev/environment.yaml").read_text().split("port: ")[1].split(",")[0]
    name = (team.place.clone / "environments/project.yaml").read_text().split("\nname: ")[1].split()[0]
    team.edit("environments/project.yaml", (f"name: {name}", f"name: {team.place.project}"))
    team.edit("environments/dev/environment.yaml", (f"port: {before}", port))
    team.commit("Begin", ".dvc/config", "environments")
    team.tell.say(
        "Will a flight from New York arrive late? The model is trained on January to April 2013; May is held out."
    )
    team.train("Train on January to April")
    team.release("v1.0.0", create=True)
    team.tell.say("What it has to reach on held-out days before it gets users:")
    team.edit(DECLARATION, ("", HOLDOUT))
    team.commit(f"Deploy {DEPLOYMENT} v1.0.0 to dev", DECLARATION)
    team.gitops_ml("plan", "dev", shown="all", expect=2)
    team.sync()
    version, late = team.predict()
    expect(version == "v1.0.0", f"v1.0.0 serves; {version} does")
    expect_verified(team, "v1.0.0")
    team.tell.good(f"v1.0.0 is verified and serves: this flight is late with a probability of {late:.2f}")
    return begin


def better_version(team: Team) -> None:
    """A rollout that no user notices."""
    team.tell.say("Two more months have arrived. The model is trained on January to June; July is held out.")
    team.pull()
    team.edit("params.yaml", (UNTIL, 'until: "2013-07"'), (NOW, 'now: "2013-08-02"'))
    team.train("Train on January to June")
    team.release("v1.1.0")
    team.tell.say(f"Meanwhile users send {USERS:.0f} requests a second, however slow the answers are.")
    with team.users(USERS) as load:
        a_moment()
        team.sync()
        a_moment()
    version, _ = team.predict()
    expect(version == "v1.1.0", f"v1.1.0 serves; {version} does")
    expect_none_failed(load.report)
    expect(set(load.report.versions) == {"v1.0.0", "v1.1.0"}, f"both versions answered; {load.report.versions} did")
    expect_verified(team, "v1.1.0")
    team.tell.good(f"v1.1.0 took over, better on the same held-out days; {asked(load.report)}")


def bad_version(team: Team) -> None:
    """A model that trains, loads and answers like any other, but is worse."""
    team.tell.say(
        "Somebody joins tables wrongly: 80 % of the labels swap places. The model trains, keeps its absolute bounds, "
        "loads, and answers. Only a comparison with the incumbent on held-out days shows that it is worse."
    )
    team.pull()
    team.edit("params.yaml", (NOISE, "label_noise: 0.8"))
    metrics = team.train("Join the tables again")
    expect(metrics["roc_auc"] >= 0.70, f"it keeps the bound of 0.70; roc_auc is {metrics['roc_auc']:.3f}")
    team.release("v1.2.0")
    with team.users(USERS) as load:
        a_moment()
        team.sync(expect=3)
        a_moment()
    version, _ = team.predict()
    expect(version == "v1.1.0", f"v1.1.0 still serves; {version} does")
    expect_none_failed(load.report)
    expect(set(load.report.versions) == {"v1.1.0"}, f"no user got v1.2.0; answers came from {load.report.versions}")
    team.tell.good(f"caught before any user got it; {asked(load.report)}")
    team.tell.say("The verdict is in Git, and the declaration is reverted:")
    changed = show_revert(team)
    expect(len(changed) == 4, f"version and digest are reverted, and nothing else; changed was {changed}")
    expect(declared(team, "version") == "v1.1.0", f"Git declares v1.1.0; it declares {declared(team, 'version')}")
    team.tell.good("Git and the host agree again, on v1.1.0")


def healing(team: Team) -> None:
    """Containers that are killed or removed come back."""
    team.edit(DECLARATION, (ONE_REPLICA, "replicas: 2"))
    team.commit("Two replicas", DECLARATION)
    generation = team.status()["generation"]
    team.sync()
    expect(team.status()["generation"] == generation, "scaling makes no new generation")
    for act, name in (("kill", team.replicas()[0]), ("rm -f", team.replicas()[1])):
        strike(team, act, name)
        health = team.status()["health"]
        expect(health == "Degraded", f"the deployment is Degraded; it is {health}")
        team.tell.output(f"dev/{DEPLOYMENT} is Degraded, 1 of 2 replicas is ready")
        team.sync()
        there = team.replicas()
        expect(len(there) == 2, f"two replicas run; {there} do")
    version, _ = team.predict()
    expect(version == "v1.1.0", f"v1.1.0 serves; {version} does")
    expect_verified(team, "v1.1.0", replicas=2)
    team.tell.good("both were replaced: what runs is what Git declares")


def canary_that_passes(team: Team) -> None:
    """Users' requests decide, and the canary passes."""
    team.tell.say(
        "The labels are right again, and 60 trees may be as good as 100. Held-out data decides first. Then v1.3.0 gets "
        "a quarter of the users' requests, later half of them, until they show that at most 10 more in 100 of its "
        "answers are errors or slow."
    )
    team.pull()
    team.edit("params.yaml", ("label_noise: 0.8", NOISE), (TREES, "max_iter: 60"))
    team.train("Train 60 trees")
    usual = team.usual_answer()
    slow = next((ms for ms in SLOW if ms >= FACTOR * 1000 * usual), SLOW[-1])
    team.tell.say(f"One request at a time takes {1000 * usual:.0f} ms. More than {slow} ms counts as slow.")
    team.edit(
        DECLARATION,
        (BLUE_GREEN, "rollout: {strategy: canary, steps: [25, 50]}"),
        ("", TRAFFIC.format(slow=slow)),
    )
    team.commit("Let users decide in dev", DECLARATION)
    team.release("v1.3.0")
    with team.users(CANARY_USERS) as load:
        a_moment()
        team.sync()
        a_moment()
    version, _ = team.predict()
    expect(version == "v1.3.0", f"v1.3.0 serves; {version} does")
    expect_none_failed(load.report)
    expect_verified(team, "v1.3.0", replicas=2)
    team.tell.good(f"v1.3.0 passed on its users' requests; {asked(load.report)}")


def canary_that_is_stopped(team: Team) -> None:
    """A change that no offline check can detect."""
    team.tell.say(
        "Somebody wants faster answers: 64 threads, on one CPU. The model is the same, so held-out data finds nothing. "
        "But each answer now waits for 64 threads to take turns, and only real requests can show that."
    )
    team.pull()
    team.edit(DECLARATION, ("", THREADS))
    team.commit("Make predictions faster", DECLARATION)
    with team.users(CANARY_USERS) as load:
        a_moment()
        ran = team.sync(expect=3)
        a_moment()
    expect("holdout roc_auc pass" in ran.lines, "held-out data finds nothing wrong")
    expect_none_failed(load.report)
    version, _ = team.predict()
    expect(version == "v1.3.0", f"v1.3.0 serves; {version} does")
    team.tell.good(f"stopped by traffic alone; {asked(load.report)}")
    show_revert(team)
    expect(declared(team, "env") is None, f"Git no longer declares env; it declares {declared(team, 'env')}")
    expect_verified(team, "v1.3.0", replicas=2)
    team.tell.good("all users are back on the version that served them well, and Git declares it")


def the_end(team: Team, begin: str, seconds: float) -> None:
    """Show the state, the log, what is left running and how to remove it."""
    team.pull()
    team.gitops_ml("status", "dev", shown="all")
    team.run("git", "log", "--format=%h %an: %s", f"{begin}..", typed=f"git log --format='%h %an: %s' {begin[:7]}..")
    team.gitops_ml("plan", "dev")
    folder = team.place.folder.relative_to(team.place.source)
    team.tell.say(
        f"The story is true. It took {seconds // 60:.0f} min {seconds % 60:.0f} s. Still running, to look at:"
    )
    rows = (
        ("containers", f"docker ps --filter label=gitops-ml.project={team.place.project}"),
        ("the clone", f"cd {folder}/clone && gitops-ml history dev"),
        ("the model", f"curl {team.url.removeprefix('http://')}"),
        ("all output", f"less {folder}/log.txt"),
        ("remove it", team.place.removal),
    )
    for what, how in rows:
        team.tell.output(f"{what:<12} {how}")


class Chapter(NamedTuple):
    """A heading, and the function that tells the chapter."""

    title: str
    tell: Callable[[Team], str | None]


CHAPTERS = (
    Chapter("A first model: trained on real data, verified, served", first_version),
    Chapter("A better one, while users send requests", better_version),
    Chapter("A bad one that only held-out data can detect", bad_version),
    Chapter("One replica is killed, another is removed", healing),
    Chapter("A canary that passes", canary_that_passes),
    Chapter("A canary that only traffic can stop", canary_that_is_stopped),
)


def strike(team: Team, act: str, name: str) -> None:
    """Run `docker kill` or `docker rm -f`, or call the engine's API where there is no docker command."""
    if shutil.which("docker"):
        team.run("docker", *act.split(), name, shown="nothing")
        return
    team.tell.command(f"docker {act} {name}")
    with place.engine() as engine:
        engine.kill(name) if act == "kill" else engine.remove(name, force=True)


def a_moment() -> None:
    """Let users send requests for a second before and after what they must not notice."""
    time.sleep(1.0)
