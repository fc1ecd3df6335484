"""Our model server against MLServer 1.7.1, without its workers: speed, memory, cold start.

Two models: boosted trees over text and numbers, where prediction is most of the work, and a linear model, where the
server is. Both servers get the same payload, versions of scikit-learn, pandas, numpy and scipy, and one worker. They
share one CPU; this client has another. They are loaded in turns of a fraction of a second, so that disturbances hit
both; figures are medians over the turns. First, the answers of both are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.support.closed_loop import ask, drive  # noqa: E402  (needs the path above)
from bench.support.servers import (  # noqa: E402
    Contender,
    Load,
    Model,
    cpu_seconds,
    family,
    mlserver,
    models,
    ours,
    request_body,
    running,
)

Figures = dict[str, dict[str, list[float]]]
"""Values of each round, by row of the table and contender."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.6, help="of each measurement in a round")
    options = parser.parse_args()
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two CPUs are needed: one for the servers, one for the client")
    os.sched_setaffinity(0, {cpus[1]})
    busy = os.getloadavg()[0]
    figures: Figures = {}
    for model in models():
        contenders = [ours(model), mlserver(model)]
        print(f"{model.name}: comparing the answers", file=sys.stderr)
        for number in range(max(3, options.rounds // 5)):
            for contender in contenders[:: 1 if number % 2 == 0 else -1]:
                with running(contender, cpus[0]) as (process, cold):
                    note(figures, f"{model.name}: cold start, s", contender, cold)
                    note(figures, f"{model.name}: cold start, CPU s", contender, cpu_seconds(process))
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(running(one, cpus[0]))[0] for one in contenders]
            compare(contenders, model)
            for load in model.loads:
                print(f"{model.name}, {load.name}", file=sys.stderr)
                duel(figures, list(zip(contenders, processes, strict=True)), model, load, options)
            for contender, process in zip(contenders, processes, strict=True):
                memory = [one.memory_full_info().uss for one in family(process)]
                note(figures, f"{model.name}: memory after load, MiB (USS)", contender, sum(memory) / 2**20)
    report(figures, options.rounds)
    if busy > 0.5:
        print(f"\nThe machine was busy with other work when this began (load {busy:.1f}).")


def compare(contenders: list[Contender], model: Model) -> None:
    """Ends the run where the two do not predict the same for the same rows."""
    request = message(model, Load("", 500, 1, ("predict", "predict_proba")), seed=5)
    bodies = [json.loads(asyncio.run(ask(contender.port, request))) for contender in contenders]
    answers = [[output["data"] for output in content["outputs"]] for content in bodies]
    if answers[0] != answers[1]:
        sys.exit("the two servers do not give the same predictions")


def duel(
    figures: Figures,
    sides: list[tuple[Contender, psutil.Process]],
    model: Model,
    load: Load,
    options: argparse.Namespace,
) -> None:
    """One load in short turns, now the one server and then the other: what disturbs this machine hits
    both."""
    request = message(model, load)
    for contender, _ in sides:
        asyncio.run(drive(contender.port, request, load.connections, options.seconds))
    for number in range(options.rounds):
        for contender, process in sides[:: 1 if number % 2 == 0 else -1]:
            spent = cpu_seconds(process)
            times, wall = asyncio.run(drive(contender.port, request, load.connections, options.seconds))
            spent = cpu_seconds(process) - spent
            for what, value in (
                ("requests/s", len(times) / wall),
                ("CPU ms a request", spent / len(times) * 1e3),
                ("p50, ms", statistics.median(times) * 1e3),
                ("p99, ms", statistics.quantiles(times, n=100)[98] * 1e3),
            ):
                note(figures, f"{model.name}, {load.name}: {what}", contender, value)


def note(figures: Figures, key: str, contender: Contender, value: float) -> None:
    figures.setdefault(key, {}).setdefault(contender.name, []).append(value)


def message(model: Model, load: Load, seed: int = 1) -> bytes:
    """One HTTP request, head and body."""
    content = json.dumps(request_body(model, load, seed)).encode()
    head = (
        "POST /v2/models/delays/infer HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def report(figures: Figures, rounds: int) -> None:
    """A table of medians; the ratio is the median of the rounds' own ratios."""
    names = list(next(iter(figures.values())))
    version = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"\nMedians of {rounds} rounds, one CPU, {version}\n")
    print(f"| | {' | '.join(names)} | ratio |\n|---|---|---|---|")
    for key, found in figures.items():
        first, second = (found[name] for name in names)
        ratio = statistics.median(one / other for one, other in zip(first, second, strict=True))
        print(f"| {key} | {statistics.median(first):.2f} | {statistics.median(second):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
