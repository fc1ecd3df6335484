"""A proxy on a Unix socket in front of the engine's socket: it shows each request, and can cut one off at any moment.

It passes bytes on unchanged, so it sees exactly what the tool sends, whatever library sends it. h11 only finds where a
request or a response ends. Each script that the tool runs in a shell that it keeps open in a container is a call too.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h11

ENGINE = "/var/run/docker.sock"
LARGE = 64 * 1024
"""Bytes from which on a request is cut off in its middle."""
Moment = Literal["before", "during", "after"]
"""`before`: the engine gets nothing. `during`: it gets the request, or half of a large one, and nobody waits for its
answer. `after`: it has answered, and nobody reads that."""

_SCRIPT_ENDS = re.compile(rb"echo ([0-9a-f]{32}) \$code\n\Z")
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Call:
    """What a process asks of the engine. A script of a kept shell has the method `SHELL`, and is the body."""

    process: int
    method: str
    path: str
    body: bytes = b""


class EngineProxy:
    """Passes on what it is asked.

    Args:
        moment_to_cut: called once for each call before it is passed on; None passes it on whole.
        cut: called when that moment has come. Both connections are closed afterwards.
    """

    def __init__(
        self, moment_to_cut: Callable[[Call], Moment | None], cut: Callable[[Call], None] = lambda _: None
    ) -> None:
        self._moment_to_cut, self._cut = moment_to_cut, cut

    @contextlib.contextmanager
    def listening(self, path: Path) -> Iterator[None]:
        """Listen at `path` for as long as the context lasts."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(64)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, h11.ProtocolError), client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(ENGINE)
            process = _peer(client)
            while request := _read_request(client, process):
                call, raw, upgrade = request
                answer = _HttpAnswer(call.method, upgrade)
                if not self._pass_on(call, raw, client, engine, answer):
                    return
                if answer.upgraded:
                    self._serve_shell(client, engine, Call(process, "SHELL", call.path))
                    return

    def _serve_shell(self, client: socket.socket, engine: socket.socket, shell: Call) -> None:
        script = b""
        while ready := select.select([client, engine], [], [])[0]:
            source, target = (client, engine) if client in ready else (engine, client)
            data = source.recv(_CHUNK)
            if not data:
                return
            if source is engine:
                target.sendall(data)
                continue
            script += data
            if ends := _SCRIPT_ENDS.search(script):
                call = Call(shell.process, shell.method, shell.path, script)
                if not self._pass_on(call, script, client, engine, _ShellAnswer(ends[1])):
                    return
                script = b""

    def _pass_on(
        self, call: Call, raw: bytes, client: socket.socket, engine: socket.socket, answer: _HttpAnswer | _ShellAnswer
    ) -> bool:
        """Pass on a call and its answer. False when the connection is over."""
        moment = self._moment_to_cut(call)
        if moment != "before":
            engine.sendall(raw[: len(raw) // 2] if moment == "during" and len(raw) > LARGE else raw)
        if moment in ("before", "during"):
            self._cut(call)
            return False
        data = b"more"
        while data and not answer.whole:
            if client in select.select([client, engine], [], [])[0]:
                return False  # nobody pipelines requests, so the client has gone
            data = engine.recv(_CHUNK)
            answer.receive(data)
            if moment is None:
                client.sendall(data)
        if moment == "after":
            self._cut(call)
        return moment is None and bool(data) and not answer.ends_connection


class _HttpAnswer:
    """Finds the end of a response."""

    def __init__(self, method: str, upgrade: bool) -> None:
        self._parser = h11.Connection(h11.CLIENT)
        headers = [("Host", "engine"), *([("Connection", "Upgrade"), ("Upgrade", "tcp")] if upgrade else [])]
        self._parser.send(h11.Request(method=method, target="/", headers=headers))
        self._parser.send(h11.EndOfMessage())
        self.whole = self.upgraded = self.ends_connection = False

    def receive(self, data: bytes) -> None:
        self._parser.receive_data(data)
        while (event := self._parser.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.EndOfMessage) or event is h11.PAUSED:
                self.whole, self.upgraded = True, event is h11.PAUSED
                self.ends_connection = self._parser.their_state is h11.MUST_CLOSE
                return


class _ShellAnswer:
    """Finds the end of a script's output in a kept shell: its mark and the exit code."""

    ends_connection = False

    def __init__(self, mark: bytes) -> None:
        self._end = re.compile(re.escape(mark) + rb" \d+\n")
        self._output = b""
        self.whole = False

    def receive(self, data: bytes) -> None:
        self._output += data
        self.whole = bool(self._end.search(self._output))


def _peer(client: socket.socket) -> int:
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def _read_request(client: socket.socket, process: int) -> tuple[Call, bytes, bool] | None:
    """The next request, its bytes, and whether it turns the connection into a plain stream; None at the end."""
    parser, raw, body = h11.Connection(h11.SERVER), b"", b""
    method = path = ""
    upgrade = False
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            data = client.recv(_CHUNK)
            if not data:
                return None
            raw += data
            parser.receive_data(data)
        elif isinstance(event, h11.Request):
            method, path = event.method.decode(), event.target.decode()
            upgrade = any(name == b"upgrade" for name, _ in event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Call(process, method, path, body), raw, upgrade
