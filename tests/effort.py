"""How much a property test tries: everything in `make test`, a part of it in `make check`, which has a minute."""

from __future__ import annotations

import os

QUICK = bool(os.environ.get("QUICK_TESTS"))


def examples(full: int) -> int:
    """The number of examples to try where `make test` tries `full`."""
    return max(5, full // 10) if QUICK else full


def stride(quick: int) -> int:
    """The step of a walk over every interruption: each one in `make test`, one in `quick` in `make check`."""
    return quick if QUICK else 1
