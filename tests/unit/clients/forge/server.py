"""A forge on loopback that speaks HTTP: it keeps comments, and refuses what its published API does not know.

`apis.json` is an excerpt of the published descriptions of the three APIs. A request whose path, method, query or body
is not as described there is answered with 418, and noted in `violations`.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema_rs

APIS: dict[str, Any] = json.loads((Path(__file__).parent / "apis.json").read_text())
TOKEN = "s3cr3t-token"
PREFIX = "/api"


@dataclass
class Fault:
    """An answer in place of the right one, for the next request of a method."""

    method: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"message": "no"}'
    delay: float = 0.0
    after: bool = False
    """Do what was asked first, and fail then."""


@dataclass
class Stored:
    id: int
    author: str
    body: str
    automatic: bool = False


@dataclass
class LocalForge:
    """What the server keeps and what it was asked.

    Args:
        account: who the token belongs to; None for the token of a job, which may not ask.
        before_answer: called with method and path before each request is worked on.
    """

    kind: str
    account: str | None = "robot"
    writes_as: str = "robot"
    automatic: bool = False
    comments: list[Stored] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    pulls: dict[str, int] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    texts: dict[int, dict[str, str]] = field(default_factory=dict)
    before_answer: Callable[[str, str], None] = lambda method, path: None
    statuses: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    newest: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def add(self, author: str, body: str, *, automatic: bool = False) -> Stored:
        with self.lock:
            self.newest += 1
            stored = Stored(self.newest, author, body, automatic)
            self.comments.append(stored)
            return stored

    def answer(self, method: str, url: str, body: bytes, headers: Any) -> tuple[int, Any]:
        parts = urlsplit(url)
        path, query = parts.path.removeprefix(PREFIX), dict(parse_qsl(parts.query))
        operation = self._operation(method, path)
        content = json.loads(body) if body else None
        problem = self._violation(operation, query, content, headers)
        if problem:
            self.violations.append(f"{method} {url}: {problem}")
            return 418, {"message": problem}
        with self.lock:
            return self._do(operation, path, query, content)

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        for operation in APIS[self.kind]["operations"]:
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation["path"]))
            if operation["method"] == method and re.fullmatch(pattern, path):
                return dict(operation)
        return None

    def _violation(self, operation: dict[str, Any] | None, query: dict[str, str], content: Any, headers: Any) -> str:
        scheme = "token" if self.kind == "gitea" else "Bearer"
        if headers.get("Authorization") != f"{scheme} {TOKEN}":
            return "the token is not where it belongs"
        if operation is None:
            return "no such path and method"
        for name, value in query.items():
            schema = operation["query"].get(name)
            typed: Any = int(value) if schema and schema.get("type") == "integer" else value
            if schema is None or not jsonschema_rs.is_valid(schema, typed):
                return f"query {name}={value}"
        if (content is None) != (operation["body"] is None):
            return "a body where none belongs, or none where one does"
        if content is not None and not jsonschema_rs.is_valid(operation["body"], content):
            return f"body {content}"
        return ""

    def _do(self, operation: dict[str, Any] | None, path: str, query: dict[str, str], content: Any) -> tuple[int, Any]:
        assert operation is not None
        method, status = operation["method"], operation["status"]
        if path == "/user":
            name = "username" if self.kind == "gitlab" else "login"
            return (status, {name: self.account}) if self.account else (403, {"message": "not for apps"})
        if "/deployments" in path:
            return status, self._deployments(method, path, query, content)
        if "/statuses/" in path:
            self.statuses.append((path.rsplit("/", 1)[1], content))
            return status, {}
        if "comments" not in path and "notes" not in path:
            if method == "GET":
                return status, self._pulls(query)
            return self._propose(method, status, path, content)
        if method == "POST":
            return status, self._shown(self.add(self.writes_as, content["body"], automatic=self.automatic))
        if path.endswith(("comments", "notes")):
            start, size = 0, len(self.comments)
            if "page" in query:
                size = int(query.get("per_page", query.get("limit", 20)))
                start = (int(query["page"]) - 1) * size
            return status, [self._shown(stored) for stored in self.comments[start : start + size]]
        found = next((c for c in self.comments if c.id == int(path.rsplit("/", 1)[1])), None)
        if found is None:
            return 404, {"message": "Not Found"}
        if method == "DELETE":
            self.comments.remove(found)
            return status, None
        if content is not None:
            found.body = content["body"]
        return status, self._shown(found)

    def _deployments(self, method: str, path: str, query: dict[str, str], content: Any) -> Any:
        """Deployments and their statuses, the newest first."""
        if path.endswith("/deployments"):
            if method == "POST":
                self.deployments.insert(0, {"id": len(self.deployments) + 1, "statuses": [], **content})
                return self.deployments[0]
            wanted = {"ref" if key == "sha" else key: value for key, value in query.items()}
            return [d for d in self.deployments if all(d[key] == value for key, value in wanted.items())]
        shown = next(d for d in self.deployments if d["id"] == int(path.split("/")[-2]))
        if method == "POST":
            shown["statuses"].insert(0, content)
            return content
        return shown["statuses"][: int(query.get("per_page", 30))]

    def _shown(self, stored: Stored) -> dict[str, Any]:
        if self.kind == "gitlab":
            return {"id": stored.id, "author": {"username": stored.author}, "body": stored.body, "system": False}
        user = {"login": stored.author, "type": "Bot" if stored.automatic else "User"}
        return {"id": stored.id, "user": user, "body": stored.body, "html_url": f"{self.url}/c/{stored.id}"}

    def _propose(self, method: str, status: int, path: str, content: dict[str, str]) -> tuple[int, Any]:
        """Open or edit a pull request."""
        text = {"title": content["title"], "body": content.get("body", content.get("description", ""))}
        if method == "POST":
            branch = content.get("head", content.get("source_branch", ""))
            if branch in self.pulls:
                return 409 if self.kind != "github" else 422, {"message": "a pull request exists already"}
            number = self.pulls[branch] = max([0, *self.pulls.values(), *self.closed.values()]) + 1
        else:
            number = int(path.rsplit("/", 1)[1])
        self.texts[number] = text
        url = f"{self.url}/pulls/{number}"
        return status, {"iid": number, "web_url": url} if self.kind == "gitlab" else {"number": number, "html_url": url}

    def _pulls(self, query: dict[str, str]) -> list[dict[str, Any]]:
        only_open = query.get("state") == ("opened" if self.kind == "gitlab" else "open")
        pulls = self.pulls if only_open else self.closed | self.pulls
        if self.kind == "gitea":
            own = {"repo_id": 1}
            return [{"number": n, "head": {"ref": b, **own}, "base": {"ref": "main", **own}} for b, n in pulls.items()]
        branch = query["source_branch"] if self.kind == "gitlab" else query["head"].partition(":")[2]
        key = "iid" if self.kind == "gitlab" else "number"
        return [{key: pulls[branch]}] if branch in pulls else []


@contextmanager
def served(forge: LocalForge) -> Iterator[LocalForge]:
    """The forge behind a server on loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer's body waits 40 ms for the acknowledgement of its head

        def log_message(self, *_: Any) -> None:
            pass

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            method, path = self.command, unquote(urlsplit(self.path).path)
            forge.asked.append(f"{method} {path.removeprefix(PREFIX)}")
            forge.before_answer(method, path)
            fault = next((f for f in forge.faults if f.method == method), None)
            if fault:
                forge.faults.remove(fault)
                if fault.after:
                    forge.answer(method, self.path, body, self.headers)
                time.sleep(fault.delay)
                self._send(fault.status, fault.body.encode(), fault.headers)
                return
            status, content = forge.answer(method, self.path, body, self.headers)
            self._send(status, b"" if content is None else json.dumps(content).encode(), {})

        def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    forge.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
