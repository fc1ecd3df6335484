"""Threads that decode a type for the first time, in a process of their own: msgspec alone ends it with a signal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import threading, time
import msgspec
from gitops_ml.artifacts.decoding import convert, decode

def slow_type():
    time.sleep(0.3)
    return int

class Inner(msgspec.Struct):
    x: "slow_type()"

class Outer(msgspec.Struct):
    inner: "Inner"

def read(wait, how):
    time.sleep(wait)
    assert how().inner.x == 1
    print("read\\n", end="")  # one write, which the other thread cannot break

ways = [lambda: decode(b'{"inner": {"x": 1}}', Outer), lambda: convert({"inner": {"x": 1}}, Outer)]
threads = [threading.Thread(target=read, args=(0.1 * n, way)) for n, way in enumerate(ways)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_threads_may_decode_a_type_for_the_first_time(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.split(), ran.stderr) == (0, ["read", "read"], "")
