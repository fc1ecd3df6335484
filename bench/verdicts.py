"""How often three judges of a canary stop an equal candidate, and how soon they stop a worse one (fixed seeds).

    python bench/verdicts.py            # 10,000 streams a row, about 20 minutes on a busy machine; tables and a plot
    python bench/verdicts.py --quick    # 500 streams a row

A stream is 25 minutes of 2,400 requests. Figures are candidate requests: the ones that users paid for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.support import judges  # noqa: E402  (needs the path above)
from bench.support.streams import REQUESTS, SHAPES, Case, Flags, streams  # noqa: E402
from gitops_ml.core.verification.statistics.sequential import TrafficTest  # noqa: E402

ALPHA = 0.05
MARGIN = 0.01
CHUNK = 100
OUT = ROOT / "bench" / "out"


@dataclass(frozen=True)
class Outcome:
    """Candidate requests at which each judge stopped each stream (NEVER: it did not), and where ours passed
    it.
    """

    case: Case
    stopped: dict[str, judges.Ints]
    passed: judges.Ints

    def rate(self, judge: str) -> float:
        return float((self.stopped[judge] < judges.NEVER).mean())

    def median(self, judge: str) -> str:
        """The median over all streams; none where fewer than half were stopped."""
        middle = int(np.median(self.stopped[judge]))
        return f"{middle:,}" if middle < judges.NEVER else "none"


def simulate(case: Case, count: int, seed: int) -> Outcome:
    """All judges on the same streams."""
    found: dict[str, list[judges.Ints]] = {name: [] for name in ("ours", "margin", "threshold", "mann-whitney")}
    passed = []
    for part, size in _parts(count, case.requests):
        own, bad = streams(case, size, seed + part)
        blocks = judges.blocks(own, bad, case.weight)
        start, early = judges.starts(own, bad, round(case.weight * 100), 1 / ALPHA)
        later = judges.first(judges.worse(blocks, start), blocks.seen, 1 / ALPHA)
        found["ours"].append(np.minimum(early, later))
        found["margin"].append(judges.first(judges.worse_by(blocks, MARGIN), blocks.seen, 1 / ALPHA))
        found["threshold"].append(judges.fixed_threshold(own, bad))
        found["mann-whitney"].append(judges.mann_whitney(own, bad))
        passed.append(judges.first(judges.harmless(blocks, MARGIN), blocks.seen, 1 / ALPHA))
    return Outcome(case, {name: np.concatenate(parts) for name, parts in found.items()}, np.concatenate(passed))


def _parts(count: int, requests: int) -> Iterator[tuple[int, int]]:
    size = max(1, CHUNK * REQUESTS // requests)
    for start in range(0, count, size):
        yield start, min(size, count - start)


def agree(count: int = 40) -> None:
    """Hold the arithmetic over arrays against the core, request by request. Raises AssertionError where they
    differ.
    """
    shapes = ("independent", "shared bursts of 20", "own bursts of 5", "periodic")
    for number, shape in enumerate(shapes):
        for weight in (0.1, 0.25, 0.5, 0.75):
            case = Case(shape, 0.02, 0.06, weight, requests=12_000)
            own, bad = streams(case, count // len(shapes), 77 + number)
            blocks = judges.blocks(own, bad, weight)
            start, early = judges.starts(own, bad, round(weight * 100), 1 / ALPHA)
            later = judges.first(judges.worse(blocks, start), blocks.seen, 1 / ALPHA)
            passed = judges.first(judges.harmless(blocks, 0.06), blocks.seen, 1 / ALPHA)
            for row in range(len(own)):
                expected = _by_core(own[row], bad[row], round(weight * 100))
                got = (int(min(early[row], later[row])), int(passed[row]))
                assert got == expected, (case, row, got, expected)


def _by_core(own: Flags, bad: Flags, percent: int) -> tuple[int, int]:
    test, seen = TrafficTest(0.06), 0
    test.step(percent)
    stopped = passed = judges.NEVER
    for at, (candidate, is_bad) in enumerate(zip(own.tolist(), bad.tolist(), strict=True)):
        test.observe(candidate=candidate, bad=is_bad, at=float(at))
        seen += candidate
        if stopped == judges.NEVER and test.worse >= 1 / ALPHA:
            stopped = seen
        if passed == judges.NEVER and test.harmless >= 1 / ALPHA:
            passed = seen
    return stopped, passed


def equal(count: int, fewer: int) -> Iterator[Outcome]:
    """A/A: both arms are bad equally often. The last rows are where the test is known to be weak."""
    for shape in SHAPES:
        yield simulate(Case(shape, 0.005, 0.005), count, 1000)
    for shape in SHAPES:
        yield simulate(Case(shape, 0.02, 0.02), fewer, 1000)
    for shape, rate in (("independent", 0.005), ("shared bursts of 20", 0.005), ("periodic", 1 / 201)):
        yield simulate(Case(shape, rate, rate, dealt="in turn"), fewer, 2000)
    for weight in (0.05, 0.25, 0.5, 0.75):
        yield simulate(Case("own bursts of 20", 0.005, 0.005, weight), fewer, 3000)
    yield simulate(Case("own bursts of 40", 0.005, 0.005), fewer, 3000)
    yield simulate(Case("periodic", 0.005, 0.005, dealt="in turn"), fewer, 2000)


def different(count: int) -> Iterator[Outcome]:
    """A/B: the candidate is bad more often."""
    for shape in SHAPES:
        yield simulate(Case(shape, 0.005, 0.02), count, 4000)
    for weight in (0.05, 0.1, 0.25, 0.5):
        for rate in (0.01, 0.015, 0.02, 0.05):
            if (weight, rate) != (0.1, 0.02):
                yield simulate(Case("independent", 0.005, rate, weight), count, 5000)
    yield simulate(replace(Case("independent", 0.005, 0.02), requests=6 * REQUESTS), max(50, count // 5), 6000)


def always(count: int) -> Iterator[Outcome]:
    """The candidate errs from its first request on, and never stops."""
    for weight in (0.01, 0.05, 0.1, 0.25, 0.5, 0.75):
        yield simulate(Case("independent", 0.005, 1.0, weight), count, 8000)


def unharmed(count: int) -> Iterator[Outcome]:
    """What passes: an equal candidate ought to, one that is worse by just the margin ought not."""
    for shape in SHAPES:
        for rate in (0.005, 0.005 + MARGIN):
            yield simulate(Case(shape, 0.005, rate, 0.25), count, 7000)


def staged(count: int) -> Iterator[tuple[str, float, float]]:
    """One test over a canary's stages of 5, 25 and 50 %, a third of the stream each: the share that was stopped."""
    stages = (5, 25, 50)
    for shape in ("independent", "own bursts of 5", "shared bursts of 20"):
        for rate in (0.02, 0.04):
            parts = [
                streams(Case(shape, 0.02, rate, percent / 100, requests=REQUESTS // len(stages)), count, 9000 + percent)
                for percent in stages
            ]
            stopped = 0
            for row in range(count):
                test = TrafficTest(MARGIN)
                at = 0
                for percent, (own, bad) in zip(stages, parts, strict=True):
                    test.step(percent)
                    for candidate, is_bad in zip(own[row].tolist(), bad[row].tolist(), strict=True):
                        test.observe(candidate=candidate, bad=is_bad, at=at)
                        at += 1
                stopped += test.worse >= 1 / ALPHA
            yield shape, rate, stopped / count


def table_of_stages(found: list[tuple[str, float, float]], count: int) -> str:
    lines = [
        f"### One test over stages of 5, 25 and 50 %, of {count:,} streams",
        "",
        "| stream | bad: incumbent → candidate | stopped |",
        "| --- | --- | --- |",
        *(f"| {shape} | 2.00% → {rate:.2%} | {share:.2%} |" for shape, rate, share in found),
    ]
    return "\n".join(lines) + "\n"


def table_of_stops(title: str, outcomes: list[Outcome]) -> str:
    names = ("ours", "threshold", "mann-whitney", "margin")
    head = "| stream | dealt | canary | bad: incumbent → candidate | " + " | ".join(
        f"{name}: stopped | median" for name in names
    )
    lines = [f"### {title}", "", head + " |", "|" + " --- |" * (4 + 2 * len(names))]
    for outcome in outcomes:
        case = outcome.case
        cells = [
            case.shape + (f" ({case.requests:,} requests)" if case.requests != REQUESTS else ""),
            case.dealt,
            f"{case.weight:.0%}",
            f"{case.incumbent:.2%} → {case.candidate:.2%}",
        ]
        for name in names:
            cells += [f"{outcome.rate(name):.2%}", outcome.median(name)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def table_of_errors(outcomes: list[Outcome]) -> str:
    lines = [
        "### A candidate that always errs: its requests until it is stopped",
        "",
        "| canary | median | 99 % | within 20 |",
        "| --- | --- | --- | --- |",
    ]
    for outcome in outcomes:
        stopped = outcome.stopped["ours"]
        middle, most = np.quantile(stopped, [0.5, 0.99], method="higher")
        within = float((stopped <= 20).mean())
        lines.append(f"| {outcome.case.weight:.0%} | {middle:,} | {most:,} | {within:.1%} |")
    return "\n".join(lines) + "\n"


def table_of_passes(outcomes: list[Outcome]) -> str:
    lines = [
        f"### Passed as worse by less than {MARGIN:.0%} (25 % canary)",
        "",
        "| stream | bad: incumbent → candidate | passed | median |",
        "| --- | --- | --- | --- |",
    ]
    for outcome in outcomes:
        share = float((outcome.passed < judges.NEVER).mean())
        middle = int(np.median(outcome.passed))
        said = f"{middle:,}" if middle < judges.NEVER else "none"
        case = outcome.case
        lines.append(f"| {case.shape} | {case.incumbent:.2%} → {case.candidate:.2%} | {share:.2%} | {said} |")
    return "\n".join(lines) + "\n"


def plot(same: list[Outcome], worse: list[Outcome], path: Path) -> bool:
    """False alarms by kind of stream, and requests to detection. False where matplotlib is not installed."""
    try:
        import matplotlib  # type: ignore[import-not-found, unused-ignore]  # only to draw; no dependency
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot  # type: ignore[import-not-found, unused-ignore]

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(14, 5.5), layout="constrained")
    kinds = same[: 2 * len(SHAPES)]
    at = np.arange(len(kinds))
    for number, name in enumerate(("ours", "threshold", "mann-whitney")):
        left.bar(at + 0.27 * (number - 1), [100 * kind.rate(name) for kind in kinds], 0.25, label=name)
    left.axhline(100 * ALPHA, color="black", linestyle="--", linewidth=1, label="5 %")
    left.set_xticks(at, [f"{kind.case.shape}, {kind.case.incumbent:.1%}" for kind in kinds], rotation=60, ha="right")
    left.set_yscale("symlog", linthresh=1)
    left.set(ylabel="equal candidates stopped, %", title="A/A, 10 % canary, looked at after every request")
    left.legend()
    for outcome in worse[: len(SHAPES)]:
        counted = np.sort(outcome.stopped["ours"])
        counted = counted[counted < judges.NEVER]
        share = 100 * np.arange(1, len(counted) + 1) / len(outcome.stopped["ours"])
        right.step(counted, share, label=outcome.case.shape)
    right.axvline(2600, color="black", linestyle="--", linewidth=1, label="goal for the median: 2,600")
    right.set(xlabel="candidate requests", ylabel="worse candidates stopped, %", title="0.5 % → 2 % bad, 10 % canary")
    right.legend()
    figure.savefig(path, dpi=110)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 streams a row instead of 10,000")
    arguments = parser.parse_args()
    count, fewer = (500, 200) if arguments.quick else (10_000, 1_000)
    began = time.monotonic()
    agree()
    print("the arithmetic over arrays and the core agree on 160 streams", file=sys.stderr)
    tables: list[str] = []

    def run(outcomes: Iterator[Outcome]) -> list[Outcome]:
        done = []
        for outcome in outcomes:
            done.append(outcome)
            said = f"{outcome.case}: stopped {outcome.rate('ours'):.4f}, median {outcome.median('ours')}"
            print(f"{time.monotonic() - began:6.0f} s  {said}", file=sys.stderr, flush=True)
        return done

    worse = run(different(fewer))
    errors = run(always(fewer))
    passes = run(unharmed(fewer))
    same = run(equal(count, 2 * fewer))
    tables.append(
        table_of_stops(
            f"Equal candidates stopped, of {count:,} streams in the first {len(SHAPES)} rows, then {2 * fewer:,}", same
        )
    )
    tables.append(table_of_stops(f"Worse candidates stopped, of {fewer:,} streams", worse))
    tables.append(table_of_errors(errors))
    tables.append(table_of_passes(passes))
    tables.append(table_of_stages(list(staged(fewer // 2)), fewer // 2))
    OUT.mkdir(parents=True, exist_ok=True)
    text = "\n".join(tables) + f"\nalpha {ALPHA}, margin {MARGIN}, {time.monotonic() - began:.0f} s\n"
    (OUT / "verdicts.md").write_text(text, encoding="utf-8")
    print(text)
    drawn = plot(same, worse, OUT / "verdicts.png")
    print("bench/out/verdicts.png" if drawn else "SKIPPED the plot: pip install matplotlib", file=sys.stderr)


if __name__ == "__main__":
    main()
