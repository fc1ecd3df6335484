"""`gitops-ml versions` over 2,000 version tags against `gto show`: at least 30 times faster.

Whole processes, in turns, in one run, on one clone without a remote: the tags are annotated, of one model, and lie on
commits that hold the same model. `gto` is the newest that the lock names.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.scratch import conclude, median, ratio, timed
from tests.e2e.workshop import GITOPS_ML

LIMIT = 1 / 30
MODEL = "flight-delay"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitops-ml-bench-tags-") as folder:
        clone = Path(folder)
        _tag(clone, options.count)
        gto = Path(sys.executable).with_name("gto")
        commands: list[list[str | Path]] = [[GITOPS_ML, "versions", MODEL], [gto, "show", MODEL]]
        walls: tuple[list[float], list[float]] = ([], [])
        for _ in range(options.rounds):
            for side, command in enumerate(commands):
                walls[side].append(timed(command, clone)[0])
            print(f"{walls[0][-1]:.2f} s, gto {walls[1][-1]:.2f} s", file=sys.stderr)
    print(f"Medians of {options.rounds} rounds, {options.count} tags\n")
    print(f"gitops-ml {median(walls[0])} s, gto {median(walls[1])} s, {1 / ratio(*walls):.0f} times faster")
    conclude("gitops-ml to gto", ratio(*walls), LIMIT)


def _tag(clone: Path, count: int) -> None:
    """A repository with `count` annotated tags of one model, made by `git fast-import`."""
    subprocess.run(["git", "init", "-q", "-b", "main", str(clone)], check=True)
    who = "Bench <bench@example.invalid> 1700000000 +0000"
    declared = f"artifacts:\n  {MODEL}:\n    type: model\n    path: model.txt\n"
    stream = [f"commit refs/heads/main\nmark :1\ncommitter {who}\ndata 0\n"]
    for path, text in (("dvc.yaml", declared), ("model.txt", "weights\n")):
        stream.append(f"M 100644 inline {path}\ndata {len(text)}\n{text}\n")
    for number in range(count):
        stream.append(f"tag {MODEL}@v0.{number // 100}.{number % 100}\nfrom :1\ntagger {who}\ndata 0\n")
    subprocess.run(["git", "fast-import", "--quiet"], cwd=clone, input="".join(stream).encode(), check=True)
    subprocess.run(["git", "checkout", "-q", "main"], cwd=clone, check=True)


if __name__ == "__main__":
    main()
