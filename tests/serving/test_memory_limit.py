"""The limit that keeps the server's process within its container's memory leaves room for the threads of libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from gitops_ml.serving.container_limits import bound_memory

bound_memory(200 << 20, {"OMP_NUM_THREADS": sys.argv[1]})
end = threading.Event()
try:
    for _ in range(2 * 63):
        threading.Thread(target=end.wait).start()
    print("all threads run")
except RuntimeError as error:
    print(error)
finally:
    end.set()
try:
    held = bytearray(3000 << 20)
except MemoryError:
    print("too much memory")
"""


@pytest.mark.parametrize(
    ("threads", "said"),
    [
        ("64", ["all threads run", "too much memory"]),
        ("1", ["can't start new thread", "too much memory"]),
        ("many", ["can't start new thread", "too much memory"]),
    ],
)
def test_the_threads_of_numeric_libraries_can_be_started(threads: str, said: list[str]) -> None:
    """OpenMP's library ends the process where a thread of a team cannot be started."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, threads], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == said, done.stderr
