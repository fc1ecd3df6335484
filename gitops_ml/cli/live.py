"""The live view of a rollout: what each deployment is at, below the lines of progress. For terminals only.

It begins with the first action, so that a `sync` with nothing to do does not import Rich, which takes longer than that.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gitops_ml.cli import documents, render

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

_STEPS = {
    "begin": "begins",
    "build": "builds its image",
    "create": "gets its containers",
    "start": "starts",
    "verify": "is verified",
    "shift": "gets users",
    "watch": "is watched with users",
    "route": "gets all users",
    "unroute": "loses its route",
    "stop": "stops what is not needed",
    "retire": "drains the version before",
    "remove": "removes what is left over",
    "settle": "is settled",
    "withdraw": "is withdrawn",
    "ensure-gateway": "gets its gateway",
    "record": "is recorded in Git",
    "tidy": "loses strange files",
    "index": "gets its list of models",
}
"""What the verbs of a plan mean for a deployment."""
_REFRESHES = 4
"""Times a second that the view is drawn."""


class LiveView:
    """Prints progress, and on a terminal shows below it where each deployment is. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._live: Live | None = None
        self._rows: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> LiveView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def report(self, text: str) -> None:
        """Print a line of progress, and take up what it says of a deployment."""
        kind, facts = getattr(text, "kind", ""), getattr(text, "facts", {})
        if kind in ("action", "check", "traffic"):
            with self._lock:
                self._note(kind, facts)
                if self._live is None and self._wanted():
                    self._begin()
        render.progress(text)

    def _wanted(self) -> bool:
        return self._console is not None or (
            documents.on_terminal()
            and not documents.current.quiet
            and sys.stderr.isatty()
            and os.environ.get("TERM") != "dumb"
        )

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = self._console or Console(stderr=True)
        # Lines that are printed meanwhile go above the view; at its end it goes away, and the table of states stays.
        self._live = Live(
            console=console, get_renderable=self.table, refresh_per_second=_REFRESHES, transient=True, screen=False
        )
        self._live.start()

    def _note(self, kind: str, facts: dict[str, Any]) -> None:
        gateway = f"{facts['environment']}/gateway"
        name = f"{facts['environment']}/{facts['deployment']}" if facts["deployment"] else gateway
        if name != gateway:
            self._rows.pop(gateway, None)  # the environment's own actions end before those of its deployments begin
        row = self._rows.setdefault(name, {"since": time.monotonic(), "step": "", "share": None, "note": ""})
        if kind == "action":
            step = _STEPS.get(facts["verb"], facts["verb"])
            if step != row["step"]:
                row |= {"step": step, "since": time.monotonic()}
            row["note"] = ""
            if facts["verb"] in ("settle", "route", "withdraw"):
                row["share"] = None
        elif kind == "check":
            row["note"] = f"{facts['check']} {facts['result']}"
        else:
            row |= {"share": facts["percent"], "note": facts["reason"]}

    def table(self) -> Table:
        """One line for each deployment: its step, for how long, its share of users, and the newest result."""
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1), expand=True)
        for ratio in (None, None, None, None, 1):
            grid.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
        for name, row in sorted(self._rows.items()):
            share = row["share"]
            bar = Text("") if share is None else ProgressBar(total=100, completed=share, width=12)
            part = "" if share is None else f"{share:g}% of users, "
            seconds = time.monotonic() - row["since"]
            note = Text(f"{part}{row['note']}", overflow="ellipsis", no_wrap=True)
            grid.add_row(Spinner("dots"), Text(name), Text(f"{row['step']} {seconds:.0f} s"), bar, note)
        return grid
