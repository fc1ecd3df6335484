"""Notifications reach receivers of the common shapes, which listen on this machine: a webhook, Slack, a mailbox."""

from __future__ import annotations

import http.server
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from gitops_ml.cli import render
from gitops_ml.clients import receivers
from gitops_ml.clients.receivers import ADDRESSES, Receiver, read_addresses
from gitops_ml.control.agent import notifications
from gitops_ml.control.agent.notifications import Notifications
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.errors import InputError
from tests.ports import free_port

SECRET = "sEcReT1234567890"


class Webhook:
    """Receives JSON by HTTP; `statuses` are its next answers, else 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, body))
                status = outer.statuses.pop(0) if outer.statuses else 200
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"ok" if status == 200 else f"no: {SECRET}".encode())

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    receiver = Webhook()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What this package and Apprise log, as the agent shows it, and what reaches the root logger."""
    lines: list[str] = []
    root, package = logging.getLogger(), logging.getLogger("gitops_ml")
    before, handlers = list(package.handlers), list(root.handlers)
    render.print_log(lines.append)
    root.handlers[:] = package.handlers[-1:]
    yield lines
    root.handlers[:], package.handlers[:] = handlers, before


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_webhook_gets_title_text_and_kind(webhook: Webhook) -> None:
    receiver = Receiver(f"json://127.0.0.1:{webhook.port}/hook", 1)
    assert receiver.send("failure", "shop: prod/churn Degraded", "1 of 2 replicas answer") == ""
    ((path, body),) = webhook.requests
    assert path == "/hook"
    assert (body["title"], body["message"]) == ("shop: prod/churn Degraded", "1 of 2 replicas answer")
    assert body["type"] == "failure"


def test_slack_gets_a_message_in_which_nothing_is_markup_or_wakes_anybody(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apprise.plugins.slack import NotifySlack

    monkeypatch.setattr(NotifySlack, "webhook_url", f"http://127.0.0.1:{webhook.port}/services")
    receiver = Receiver("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#models", 1)
    assert receiver.name == "receiver 1 (Slack)"
    assert (
        receiver.send("success", "shop: prod/churn v2 Verified", "<!channel> <@U1> @here <https://a.example|b>") == ""
    )
    ((path, body),) = webhook.requests
    assert path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert body["channel"] == "#models"
    (attachment,) = body["attachments"]
    assert attachment["title"] == "shop: prod/churn v2 Verified"
    assert "<" not in attachment["text"] and "@here" not in attachment["text"]
    assert "http" not in json.dumps({**body, "attachments": [{**attachment, "text": ""}]}), "no picture of another host"


def test_a_mailbox_gets_an_e_mail() -> None:
    mails: list[bytes] = []

    class Mailbox:
        async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802, its protocol
            mails.append(envelope.content)
            return "250 taken"

    port = free_port()
    server = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        address = f"mailto://127.0.0.1:{port}?from=agent@example.com&to=team@example.com&mode=insecure"
        assert Receiver(address, 1).send("warning", "shop: dev still Error", "for 1 d\nthe engine is gone") == ""
    finally:
        server.stop()
    mail = message_from_bytes(mails[0], policy=policy.default)
    assert (mail["Subject"], mail["To"]) == ("shop: dev still Error", "team@example.com")
    body = mail.get_body(("plain", "html"))
    assert body is not None and "the engine is gone" in body.get_content()


def test_what_a_receiver_refuses_is_said_without_its_address(webhook: Webhook, log: list[str]) -> None:
    webhook.statuses = [500]
    receiver = Receiver(f"json://user:{SECRET}@127.0.0.1:{webhook.port}/{SECRET}", 2)
    assert receiver.send("info", "title", "body") == "it answered 500"
    webhook.server.shutdown()
    webhook.server.server_close()
    assert receiver.send("info", "title", "body") == "it does not answer"
    assert SECRET not in f"{log}{receiver.name}"


@pytest.mark.parametrize("address", [f"slack://{SECRET}", f"nonsense://{SECRET}", SECRET])
def test_an_address_that_means_nothing_is_refused_and_not_shown(address: str, log: list[str]) -> None:
    with pytest.raises(InputError, match="receiver 3 of notifications") as refused:
        Receiver(address, 3)
    assert SECRET not in f"{refused.value}{log}"


def test_addresses_come_from_a_file_or_a_variable_and_are_separated_by_white_space(tmp_path: Path) -> None:
    file = tmp_path / "receivers"
    file.write_text("# ours\njson://a/x  slack://b\n\n  # off json://c\nmailto://d\n")
    assert read_addresses({ADDRESSES: "json://z"}, file) == ["json://a/x", "slack://b", "mailto://d"]
    assert read_addresses({ADDRESSES: "json://a json://b"}, None) == ["json://a", "json://b"]
    assert read_addresses({}, None) == []
    with pytest.raises(InputError, match="cannot be read"):
        read_addresses({}, tmp_path / "absent")


def test_a_receiver_that_never_ends_its_answer_delays_no_other(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receivers, "SECONDS", 0.3)
    over = threading.Event()

    class Endless(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not over.wait(0.1):
                self.wfile.write(b".")

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    endless = [Receiver(f"json://127.0.0.1:{server.server_address[1]}", number) for number in range(8)]
    try:
        assert {each.send("failure", "t", "b") for each in endless} == {"it does not answer"}
        monkeypatch.setattr(receivers, "SECONDS", 20.0)
        began = time.monotonic()
        assert {each.send("failure", "t", "b") for each in endless} == {"it does not answer"}
        assert time.monotonic() - began < 10.0, "no second call is begun beside the first"
        assert Receiver(f"json://127.0.0.1:{webhook.port}", 9).send("failure", "t", "b") == ""
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_a_receiver_that_is_away_delays_no_other_and_gets_its_messages_later(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "TURN", 0.02)
    monkeypatch.setattr(notifications, "RETRIES", (0.05, 0.05, 0.05))
    monkeypatch.setattr("gitops_ml.control.agent.notices.LASTS", 0.0)
    away = Webhook()
    away.statuses = [503, 503]
    lines: list[str] = []
    board = StatusBoard(time.monotonic)
    both = [Receiver(f"json://127.0.0.1:{each.port}", n) for n, each in enumerate((away, webhook), start=1)]
    sending = Notifications(both, board, 3600.0, lines.append)
    sending.start()
    board.fetched("", "the remote does not answer")
    until(lambda: len(webhook.requests) == 1 and len(away.requests) == 3)
    sending.close()
    assert [body["title"] for _, body in away.requests] == ["gitops-ml: the Git remote Error"] * 3
    assert lines == [
        "error notify: receiver 1 (JSON) takes no messages: it answered 503",
        "recovered notify: receiver 1 (JSON) takes messages again",
    ]
    away.server.shutdown()
    away.server.server_close()
