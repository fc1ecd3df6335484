"""Which calls of the engine are mutations, and their names: `create replica`, `run switch-route`, `write intent`.

A call that is not known to only read counts as a mutation, so that a new one is tried too.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gitops_ml.clients.gateway.layout import JOURNAL, script
from gitops_ml.core.generation import ROLE
from tests.e2e.engine_proxy import Call

READING = (
    *("ask-ready", "await-answer", "await-servers-up", "drain", "find-unresponsive"),
    *("look", "read-each", "read-url"),
)
CHANGING = ("remove-route", "switch-route", "tidy", "write-journal")
"""The scripts that run in the gateway."""
_KIND = re.compile(r"['\n\0]\{\"kind\":\"(\w+)")
"""The kind of a journal entry is its first field. A quote, a line's end or the padding of a tar is before it."""
_OF_CONTAINER = re.compile(r"/containers/([^/]+)(?:/(\w+))?")
_HARMLESS = re.compile(r"/containers/[^/]+/(wait|attach|exec|resize)|/exec/[^/]+/(resize|json)|/auth")


def mutation_of(call: Call, engine: Any) -> str | None:
    """The name of the mutation that a call is; None when the call only reads.

    Args:
        engine: the SDK's low-level client, which tells the role of a container and the command of an exec.
    """
    if call.method == "SHELL":
        return _of_command([call.body.decode()])
    parts = urlsplit(re.sub(r"^/v[0-9.]+", "", call.path))
    if call.method in ("GET", "HEAD") or _HARMLESS.fullmatch(parts.path):
        return None
    if parts.path == "/containers/create":
        return f"create {json.loads(call.body)['Labels'][ROLE]}"
    if started := re.fullmatch(r"/exec/([^/]+)/start", parts.path):
        command = engine.exec_inspect(started[1])["ProcessConfig"]
        return _of_command([command["entrypoint"], *command["arguments"]])
    if found := _OF_CONTAINER.fullmatch(parts.path):
        role = engine.inspect_container(found[1])["Config"]["Labels"].get(ROLE)
        verb = "remove" if call.method == "DELETE" else found[2]
        if verb == "archive":
            folder = parse_qs(parts.query)["path"][0]
            return f"write files of {role}" if not folder.endswith(JOURNAL) else _journal(call.body.decode("latin-1"))
        return f"{verb} {role}"
    return f"{call.method} {_without_ids(parts.path)}"


def _of_command(words: list[str]) -> str | None:
    """The mutation that a command in the gateway is: one of our scripts, or a program. None for a shell that opens."""
    text = "\n".join(words)
    names = [name for name in (*READING, *CHANGING) if script(name) in text]
    if names == ["write-journal"]:
        return _journal(text)
    if names:
        return None if names[0] in READING else f"run {names[0]}"
    return None if words == ["sh"] else f"run {' '.join(words)[:60]}"


def _journal(text: str) -> str:
    return "write " + " and ".join(_KIND.findall(text))


def _without_ids(path: str) -> str:
    return re.sub(r"[0-9a-f]{12,}", "…", path)
