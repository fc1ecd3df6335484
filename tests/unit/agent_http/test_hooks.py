"""Hooks of forges: who knows the secret makes the agent fetch once, and nobody makes it do anything else."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import itertools
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitops_ml.control.agent.loop import HOOK_GAP
from gitops_ml.control.agent.web.hooks import LONGEST_BODY, SECRET, SIGNATURES, Hooks, read_secret
from gitops_ml.control.agent.web.server import HttpServer
from gitops_ml.control.agent.world import Tip
from gitops_ml.errors import InputError, SourceUnavailable
from tests.unit.control.simulated_world import Simulation

# The example in https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
SHARED = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


class Receiver:
    """A server that takes hooks, and counts the fetches that it asks for since `begin`."""

    def __init__(self) -> None:
        self.hooks = Hooks(SHARED, self._fetch)
        self.server = HttpServer("127.0.0.1", 0, {}, [self.hooks.route])
        self.server.start()
        self.begin()

    def begin(self) -> None:
        self.fetches = 0
        self._refused_before = self._all_refused()

    def _fetch(self) -> None:
        self.fetches += 1

    def post(self, headers: dict[str, str], body: bytes = BODY, method: str = "POST") -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.server.address, timeout=30)
        try:
            connection.request(method, "/hooks/git", body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def refused(self) -> float:
        return self._all_refused() - self._refused_before

    def _all_refused(self) -> float:
        samples = {s.labels["result"]: s.value for family in self.hooks.families() for s in family.samples}
        return samples["refused"]


@pytest.fixture(scope="module")
def started() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.close()


@pytest.fixture
def receiver(started: Receiver) -> Receiver:
    started.begin()
    return started


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": f"sha256={SIGNATURE}", "X-GitHub-Event": "push"},
        {"X-Gitlab-Token": SHARED.decode(), "X-Gitlab-Event": "Push Hook"},
        {"X-Gitea-Signature": SIGNATURE},
        {"X-Forgejo-Signature": SIGNATURE, "X-Gitea-Signature": SIGNATURE},
        {"X-Signature-256": f"sha256={SIGNATURE}"},
        {"X-Signature-256": SIGNATURE.upper()},
    ],
    ids=["github", "gitlab", "gitea", "forgejo", "hmac", "upper-case"],
)
def test_each_forges_signature_causes_a_fetch(receiver: Receiver, headers: dict[str, str]) -> None:
    assert receiver.post(headers) == (202, '{"fetch":"begins"}\n')
    assert receiver.fetches == 1


def test_a_replayed_hook_causes_a_fetch_and_nothing_else(receiver: Receiver) -> None:
    signed = {"X-Hub-Signature-256": f"sha256={SIGNATURE}"}
    assert [receiver.post(signed)[0] for _ in range(3)] == [202] * 3
    assert receiver.fetches == 3


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize(
    "value", ["", "sha256=", "sha256=" + "0" * 64, SIGNATURE[:-1], f"sha1={SIGNATURE[:40]}", "é" * 64, "sha256=" * 1000]
)
def test_a_wrong_signature_is_refused(receiver: Receiver, name: str, value: str) -> None:
    assert receiver.post({name: value.encode("latin-1").decode("latin-1")})[0] == 403
    assert (receiver.fetches, receiver.refused()) == (0, 1)


@pytest.mark.parametrize("token", ["", "It's a Secret to Everybody.", "it's a secret to everybody", "é"])
def test_a_wrong_token_is_refused(receiver: Receiver, token: str) -> None:
    assert receiver.post({"X-Gitlab-Token": token})[0] == 403
    assert receiver.fetches == 0


def test_the_signature_of_another_body_is_refused(receiver: Receiver) -> None:
    assert receiver.post({"X-Hub-Signature-256": f"sha256={SIGNATURE}"}, BODY + b"!")[0] == 403
    assert receiver.post({"X-Hub-Signature-256": f"sha256={SIGNATURE}"}, b"")[0] == 403
    assert receiver.fetches == 0


def test_without_a_signature_nothing_is_read(receiver: Receiver) -> None:
    status, answer = receiver.post({"X-Hub-Signature": "sha1=" + "0" * 40})
    assert status == 401 and "x-hub-signature-256" in json.loads(answer)["error"]
    assert receiver.fetches == 0


def test_other_methods_are_refused(receiver: Receiver) -> None:
    assert receiver.post({"X-Gitlab-Token": SHARED.decode()}, method="PUT")[0] == 405
    assert receiver.post({"X-Gitlab-Token": SHARED.decode()}, b"", method="GET")[0] == 405
    assert receiver.fetches == 0


def sent_raw(receiver: Receiver, request: bytes, patience: float = 30.0) -> bytes:
    """The first line of the answer to a request that is sent as it is."""
    host, port = receiver.server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=patience) as connection:
        connection.sendall(request)
        return connection.recv(1000).split(b"\r\n")[0]


def test_a_body_that_says_that_it_is_too_long_is_refused_unread(receiver: Receiver) -> None:
    head = f"POST /hooks/git HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: y\r\nContent-Length: {LONGEST_BODY + 1}\r\n\r\n"
    assert b" 413 " in sent_raw(receiver, head.encode())


def test_a_body_that_does_not_say_how_long_it_is_is_cut(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitops_ml.control.agent.web.hooks.LONGEST_BODY", 1000)
    head = b"POST /hooks/git HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: y\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 413 " in sent_raw(receiver, head + b"400\r\n" + b"x" * 1024 + b"\r\n")


def test_a_body_that_does_not_come_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitops_ml.control.agent.web.hooks.BODY_SECONDS", 0.3)
    head = b"POST /hooks/git HTTP/1.1\r\nHost: x\r\nX-Gitlab-Token: y\r\nContent-Length: 10\r\n\r\n12345"
    assert b" 408 " in sent_raw(receiver, head)
    assert receiver.fetches == 0


def test_a_large_body_is_signed_without_being_kept(receiver: Receiver) -> None:
    body = b"x" * LONGEST_BODY
    signature = hmac.new(SHARED, body, hashlib.sha256).hexdigest()
    assert receiver.post({"X-Gitea-Signature": signature}, body)[0] == 202


def test_a_thousand_hooks_at_once_are_all_answered(receiver: Receiver) -> None:
    signed = {"X-Hub-Signature-256": f"sha256={SIGNATURE}"}
    with ThreadPoolExecutor(50) as many:
        codes = list(many.map(lambda n: receiver.post(signed if n % 2 else {})[0], range(1000)))
    assert sorted(set(codes)) == [202, 401]
    assert receiver.fetches == 500


# --- what the loop makes of them


def test_a_hook_is_fetched_for_at_once_and_a_new_commit_is_reconciled() -> None:
    simulation = Simulation(tips=lambda now: Tip(("a" if now < 10 else "b") * 40, ("dev",)), interval=600.0)
    simulation.world.at(10.0, simulation.agent.fetch_soon)
    simulation.run(100)
    assert simulation.fetched == [0.0, 10.0]
    assert simulation.passes["dev"].began == [0.0, 10.0]


def test_hooks_without_a_new_commit_cause_no_pass() -> None:
    simulation = Simulation(tips=lambda _: Tip("a" * 40, ("dev",)), interval=600.0)
    simulation.world.at(10.0, simulation.agent.fetch_soon)
    assert simulation.run(100).passes["dev"].began == [0.0]


def test_a_flood_of_hooks_is_no_flood_of_fetches() -> None:
    simulation = Simulation(interval=600.0)
    for n in range(1000):
        simulation.world.at(10.0 + n / 200, simulation.agent.fetch_soon)
    simulation.run(100)
    gaps = [later - earlier for earlier, later in itertools.pairwise(simulation.fetched)]
    assert len(simulation.fetched) < 15 and min(gaps) >= HOOK_GAP


def test_a_push_during_a_fetch_is_fetched_after_it() -> None:
    simulation = Simulation(interval=600.0)
    read = simulation.agent._read_tip

    def slow() -> Tip:
        tip = read()
        simulation.world.takes = 5.0
        return tip

    simulation.agent._read_tip = slow
    for moment in (10.0, 12.0, 13.0):
        simulation.world.at(moment, simulation.agent.fetch_soon)
    simulation.run(100)
    assert simulation.fetched == [0.0, 10.0, 15.0 + HOOK_GAP]


def test_a_hook_ends_the_wait_for_a_remote_that_was_away() -> None:
    def tips(now: float) -> Tip:
        if now < 50:
            raise SourceUnavailable("the remote does not answer")
        return Tip("a" * 40, ("dev",))

    simulation = Simulation(tips=tips, interval=600.0)
    simulation.world.at(51.0, simulation.agent.fetch_soon)
    assert simulation.run(60).passes["dev"].began[0] == 51.0


# --- the secret


def test_the_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-the-file-1234\n")
    assert read_secret({}, None) is None
    assert read_secret({SECRET: "from-the-variable"}, None) == b"from-the-variable"
    assert read_secret({SECRET: "from-the-variable"}, file) == b"from-the-file-1234"


@pytest.mark.parametrize("content", ["", "\n", "hunter2", " " * 40])
def test_a_secret_that_anybody_could_guess_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    for environ, path in (({}, file), ({SECRET: content}, None)):
        with pytest.raises(InputError, match="is too short") as raised:
            read_secret(environ, path)
        assert not content.strip() or content.strip() not in str(raised.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read from"):
        read_secret({}, tmp_path / "absent")
