"""The command line: Typer commands, and what they print.

Modules here import other packages inside functions, when a command runs, and name types under TYPE_CHECKING: `--help`
needs none of them, and each command needs only some. `bench/startup.py` compares `--help` with a bare Typer program.
"""

import gc

# Imports create tens of thousands of objects, and nearly all of them stay. Collecting garbage among them took a tenth
# of the time of a `sync` with nothing to do.
gc.set_threshold(100_000, 20, 20)
