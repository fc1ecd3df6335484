"""How many examples a property test tries: all of them in `make test`, a fifth in `make check`, which has a minute."""

from __future__ import annotations

import os

QUICK = bool(os.environ.get("QUICK_TESTS"))


def examples(full: int) -> int:
    """The number of examples to try where `make test` tries `full`."""
    return max(5, full // 5) if QUICK else full
