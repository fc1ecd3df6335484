"""The agent's threads share two heaps, so that its memory does not grow with the number of threads that have ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import ctypes, sys, threading
from gitops_ml.cli.commands import agent

agent.share_heaps()
met = threading.Barrier(20)

def allocate():
    kept = [bytearray(50_000) for _ in range(20)]
    met.wait()

threads = [threading.Thread(target=allocate) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


def test_twenty_threads_share_two_heaps(tmp_path: Path) -> None:
    told = tmp_path / "heaps.xml"
    subprocess.run([sys.executable, "-c", SCRIPT, told], check=True)
    assert told.read_text().count("<heap nr=") == 2
