"""What is where in the gateway's container, and the shell scripts that run there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from gitops_ml.core.planning.index import INDEX

ROOT = "/gateway"
"""Where the gateway's volume is mounted."""
ROUTES, STAGE, JOURNAL = "routes", "stage", "journal"
"""The folders of the volume."""
CERTIFICATE = "_certificate.yml"
"""The gateway's default certificate, beside the route files. No deployment can have this name."""
INDEX_FILE = f"{INDEX}.yml"
"""The route of the gateway's bare port, beside the route files of deployments."""
API = "http://127.0.0.1:8081"
"""Traefik's own API, which answers only inside the container."""
POLL = 0.02
"""Seconds between two tries of a script that waits; the scripts hold the same number."""
LONGEST_WORD = 100_000
"""Bytes that a script may be given as one argument: Linux takes 128 KiB in one argument of a command."""

_SCRIPTS = Path(__file__).parent / "scripts"
_SETTINGS = (
    f"ROOT={ROOT} ROUTES={ROUTES} STAGE={STAGE} JOURNAL={JOURNAL} "
    f"CERTIFICATE={CERTIFICATE} INDEX_FILE={INDEX_FILE} API={API}\n"
)


@cache
def script(name: str) -> str:
    """The text of `scripts/<name>.sh`, with the layout above as its variables ROOT, ROUTES, CERTIFICATE and so on.

    The scripts need a POSIX `sh` and `mv`, `rm`, `cp`, `cat`, `sleep`, `date`, `tar`, `head`, `sed`, `tr`, `wc`,
    `timeout`, `wget` and the `nc` of busybox: all that the gateway's image has to hold.
    """
    return _SETTINGS + "".join((_SCRIPTS / f"{part}.sh").read_text() for part in ("ask", name))


def tries(seconds: float) -> str:
    """How often a script tries in so many seconds, as its argument."""
    return str(round(seconds / POLL))
