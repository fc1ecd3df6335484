"""From the event `pull_request` to the comment, for a bump of a model with 20,000 held-out rows: at most 60 s.

plan.yml runs under act, with the action of this tree and a GitHub on loopback. Both models answer in containers, whose
images are there after the first round, which is not counted. CPU seconds are those of the job, without the containers'.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.scratch import conclude, release_trees, scratch
from tests.act import act, add_workflow, on_forge
from tests.e2e.workshop import MODEL, Workshop
from tests.git.cli_forge import address
from tests.serving.artifacts import rows
from tests.unit.clients.forge.server import LocalForge, served

SECONDS = 60.0
METRICS = {"roc_auc": {"min": 0.6, "max_drop": 0.05}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    with scratch("comment") as workshop:
        propose(workshop, options.rows)
        rounds = [to_comment(workshop) for _ in range(options.rounds + 1)]
    for wall, cpu in rounds:
        print(f"{options.rows:,} rows: {wall:.1f} s, with {cpu:.1f} s of CPU")
    conclude("seconds to the comment", statistics.median(wall for wall, _ in rounds[1:]), SECONDS)


def propose(workshop: Workshop, count: int) -> None:
    """Serve v1.0.0, and check out what GitHub does for a pull request that bumps to v2.0.0: its merge into main."""
    data = rows(count, seed=9)
    late = (data["hour"] / 24 + (data["carrier"] == "B6") * 0.4 > 0.7).astype(int)
    workshop.write("data/holdout.csv", data.assign(late=late).to_csv(index=False))
    add_workflow(workshop.folder, "plan.yml")
    release_trees(workshop, "v1.0.0", seed=0)
    verify = {"holdout": {"data": "data/holdout.csv", "metrics": METRICS}}
    workshop.declare("v1.0.0", verify=verify)
    workshop.sync()
    workshop.pull()
    release_trees(workshop, "v2.0.0", seed=1)
    address(workshop.folder)
    workshop.git("switch", "-q", "-c", "bump")
    path = f"environments/dev/models/{MODEL}.yaml"
    workshop.write(path, (workshop.folder / path).read_text().replace("v1.0.0", "v2.0.0"))
    workshop.git("commit", "-qam", "Bump churn")
    workshop.git("switch", "-q", "--detach", "main")
    workshop.git("merge", "-q", "--no-ff", "-m", "Merge it", "bump")


def to_comment(workshop: Workshop) -> tuple[float, float]:
    """Seconds until the comment is written, with its comparison of both models; and the job's seconds of CPU."""
    repository = {"full_name": "acme/shop"}
    head = {"ref": "bump", "sha": workshop.git("rev-parse", "bump"), "repo": repository}
    base = {"ref": "main", "sha": workshop.git("rev-parse", "main")}
    payload = {"number": 7, "repository": repository, "pull_request": {"number": 7, "head": head, "base": base}}
    written: list[float] = []

    def note(method: str, path: str) -> None:
        if method == "POST":
            written.append(time.monotonic())

    with served(LocalForge(kind="github", account=None, writes_as="github-actions[bot]", automatic=True)) as forge:
        forge.before_answer = note
        before, started = cpu_seconds(), time.monotonic()
        code, printed = act(workshop.folder, "pull_request", "plan.yml", payload, *on_forge(forge))
        assert code == 0, printed
        (comment,) = forge.comments
    assert "held-out rows of `data/holdout.csv`" in comment.body, comment.body
    return written[0] - started, cpu_seconds() - before


def cpu_seconds() -> float:
    """What all ended child processes of this one have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
