"""`gitops-ml --help` against a bare Typer program's, same interpreter, in turns: at most 1.5 times.

The bare program is a minimal Typer program: two commands that print a word, with our settings (no completion, no rich
markup), started by the same kind of script. The whole process is measured, from exec to exit.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.support.scratch import conclude, median, ratio, timed

LIMIT = 1.5
BARE = """
import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def one(name: str = "x") -> None:
    print(name)


@app.command()
def two(name: str = "x") -> None:
    print(name)
"""
SCRIPT = "#!{python}\nimport sys\nfrom bare_typer import app\nsys.exit(app())\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    ours = Path(sys.executable).with_name("gitops-ml")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        # A module beside a script, so that its byte code is cached as an installed program's is.
        (folder / "bare_typer.py").write_text(BARE)
        bare = folder / "bare"
        bare.write_text(SCRIPT.format(python=sys.executable))
        bare.chmod(0o755)
        for command in (ours, bare):
            timed([command, "--help"], folder)
        walls: tuple[list[float], list[float]] = ([], [])
        cpus: tuple[list[float], list[float]] = ([], [])
        for number in range(options.rounds):
            for side, command in list(enumerate((ours, bare)))[:: 1 if number % 2 == 0 else -1]:
                wall, cpu = timed([command, "--help"], folder)
                walls[side].append(wall)
                cpus[side].append(cpu)
    print(f"Medians of {options.rounds} rounds\n\n| | gitops-ml | bare Typer | ratio |\n|---|---|---|---|")
    print(f"| seconds | {median(walls[0])} | {median(walls[1])} | {ratio(*walls):.2f} |")
    print(f"| CPU seconds | {median(cpus[0])} | {median(cpus[1])} | {ratio(*cpus):.2f} |")
    conclude("seconds, ratio", ratio(*walls), LIMIT)


if __name__ == "__main__":
    main()
