"""`requirements.txt` of a model artifact: which version of each distribution it pins."""

from __future__ import annotations

import re

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)


def folded(name: str) -> str:
    """Normalize a distribution's name (PEP 503): lower case, with `-` for every run of `-`, `_` and `.`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(requirements: str) -> dict[str, str]:
    """The pinned version of each distribution in a requirements file, by normalized name."""
    return {folded(pin[1]): pin[2] for pin in _PIN.finditer(requirements)}
