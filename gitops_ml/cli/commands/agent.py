"""`agent`: reconcile until the process is told to end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import options, render
from gitops_ml.cli.command import ungrouped
from gitops_ml.errors import InputError

if TYPE_CHECKING:
    from gitops_ml.control.agent.loop import Agent
    from gitops_ml.control.agent.notifications import Notifications
    from gitops_ml.control.agent.web.server import HttpServer
    from gitops_ml.control.environment.view import View

SHORTEST_INTERVAL = 1.0
SHORTEST_REVIEWS = 10.0
SHORTEST_REMINDERS = 60.0
MOST_LINES = 10_000
M_ARENA_MAX = -8  # in glibc's malloc.h
STATUS_SECONDS = 5.0
"""How long the end of the agent waits for commit statuses."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(ungrouped(agent))


def agent(
    environments: options.Environments = None,
    interval: Annotated[str, typer.Option(help="How long to wait where there is nothing to do.")] = "30s",
    verify_every: Annotated[
        str | None,
        typer.Option(
            help="Judge again what serves, as `verify` does, this often.", metavar="DURATION", show_default=False
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            help="Answer the page, /healthz, /readyz and /metrics at HOST:PORT; a PORT alone: this machine only.",
            metavar="ADDRESS",
            show_default=False,
        ),
    ] = None,
    hook_secret_file: Annotated[
        Path | None,
        typer.Option(
            help="The secret that forges sign POST /hooks/git with; else in GITOPS_ML_HOOK_SECRET.", show_default=False
        ),
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name with a dot under which --listen is asked, such as a proxy's.", show_default=False),
    ] = None,
    user_header: Annotated[
        str,
        typer.Option(
            help="The header in which a proxy names the user; the page is refused without it.", show_default=False
        ),
    ] = "",
    ready_within: Annotated[str, typer.Option(help="How old the last good pass may be in /readyz.")] = "10m",
    notify_file: Annotated[
        Path | None,
        typer.Option(help="Apprise URLs that are told what happens; else in GITOPS_ML_NOTIFY.", show_default=False),
    ] = None,
    remind_every: Annotated[str, typer.Option(help="How often trouble that lasts is told again.")] = "24h",
    *,
    reports: options.StatusReports,
    output: options.Lines = "text",
    repo: options.Repo = Path(),
) -> None:
    """Keep the hosts matching Git until SIGTERM or Ctrl-C.

    Every environment is reconciled beside the others, again and again.
    """
    from gitops_ml.cli.pull_request import status_reporter
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control.agent.loop import Agent
    from gitops_ml.control.agent.passes import EnvironmentPasses, read_tip
    from gitops_ml.control.agent.reviews import Reviews, review_environment
    from gitops_ml.control.agent.threads import Threads
    from gitops_ml.control.environment.hosts import Hosts
    from gitops_ml.core.declaration.values import seconds

    share_heaps()
    wait = seconds(interval)
    if wait < SHORTEST_INTERVAL:
        raise InputError(f"--interval {interval} is too short", why="it is at least 1s", fix="--interval 30s")
    if verify_every and seconds(verify_every) < SHORTEST_REVIEWS:
        raise InputError(
            f"--verify-every {verify_every} is too short", why="it is at least 10s", fix="--verify-every 1h"
        )
    printer = Printer(render.progress)
    render.print_log(printer.say)
    with Repository.open(repo) as clone:
        root = clone.root
        reporter = status_reporter(clone, reports, printer.say)

    def on_look(view: View) -> None:
        loop.board.looked(view)
        if reporter:
            reporter.tell(view)

    hosts = Hosts()
    loop = Agent(
        read_tip=lambda: read_tip(root),
        passes_over=lambda name: EnvironmentPasses(
            root, name, printer.say, loop.stopping, hosts, on_look, partial(loop.pass_soon, name)
        ),
        world=Threads(),
        report=printer.say,
        interval=wait,
        named=environments or (),
    )

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)  # the second one does not wait for anything
        loop.stop()

    reviews = None
    if verify_every:
        judge = partial(review_environment, root, report=printer.say, stopping=loop.stopping)
        reviews = Reviews(judge, loop.board, seconds(verify_every), printer.say, loop.fetch_soon)
        reviews.start()
    notifications = _make_notifications(loop, notify_file, remind_every, printer.say)
    if notifications:
        notifications.start()
    server = _make_server(loop, root, listen, ready_within, hook_secret_file, host or [], user_header)
    if server:
        server.start()
        printer.say(f"listen http://{server.address}")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    loop.run()
    if reviews:
        reviews.close()
    if server:
        server.close()
    if reporter:
        reporter.close(STATUS_SECONDS)
    if notifications:
        notifications.close()
    printer.say("stopped; what serves goes on serving, and the next start goes on from here")
    printer.close()


def share_heaps() -> None:
    """Let all threads share two heaps of glibc. With a heap each, what ended threads have left grows for hours."""
    import ctypes

    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option:
        set_option(M_ARENA_MAX, 2)


def _make_notifications(
    agent: Agent, file: Path | None, remind_every: str, report: Callable[[str], None]
) -> Notifications | None:
    """What tells receivers of the agent's work; None if the operator names none. Raises `InputError`."""
    from gitops_ml.clients.receivers import Receiver, read_addresses
    from gitops_ml.control.agent.notifications import Notifications
    from gitops_ml.core.declaration.values import seconds

    if seconds(remind_every) < SHORTEST_REMINDERS:
        raise InputError(
            f"--remind-every {remind_every} is too short", why="it is at least 1m", fix="--remind-every 24h"
        )
    addresses = read_addresses(os.environ, file)
    if not addresses:
        return None
    receivers = [Receiver(address, place) for place, address in enumerate(addresses, start=1)]
    return Notifications(receivers, agent.board, seconds(remind_every), report)


def _make_server(
    agent: Agent,
    clone: Path,
    listen: str | None,
    ready_within: str,
    secret_file: Path | None,
    hosts: Sequence[str],
    user_header: str,
) -> HttpServer | None:
    """The agent's HTTP server; None if the agent shall not listen. Raises `InputError`."""
    if listen is None:
        if secret_file is not None:
            raise InputError("--hook-secret-file is given without --listen", fix="--listen 127.0.0.1:9464")
        return None
    from gitops_ml.cli.site.lineage import lineage_of
    from gitops_ml.control.agent.web.access import Access
    from gitops_ml.control.agent.web.hooks import read_secret
    from gitops_ml.control.agent.web.page import LivePage
    from gitops_ml.control.agent.web.routes import make_server
    from gitops_ml.control.agent.web.server import parse_address
    from gitops_ml.core.declaration.values import seconds

    secret = read_secret(os.environ, secret_file)
    address = parse_address(listen)
    access = Access(frozenset(name.lower() for name in (address[0], *hosts)), user_header)
    page = LivePage(agent.board, clone, lineage_of)
    return make_server(agent, address, seconds(ready_within), secret, page, access)


class Printer:
    """Prints lines in a thread of its own: a stderr that is closed, full or not read stops nobody's work.

    Lines are dropped while too many wait to be printed.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._printing = threading.Thread(target=self._print_all, daemon=True)
        self._printing.start()

    def say(self, line: str) -> None:
        """Have a line printed. Neither waits nor raises."""
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(line)

    def close(self, patience: float = 1.0) -> None:
        """Wait until all lines are printed, for about `patience` seconds."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=patience)
        self._printing.join(patience)

    def _print_all(self) -> None:
        while (line := self._lines.get()) is not None:
            with contextlib.suppress(Exception):  # whatever is wrong with stderr, nobody is left to be told
                self._show(line)
