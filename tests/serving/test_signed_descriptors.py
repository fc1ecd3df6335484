"""A subscriber that asks for signatures takes what a key of the project signed, in its order, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gitops_ml.clients.signing import sign
from gitops_ml.core.signed_statement import NAMESPACE
from gitops_ml.errors import InputError
from gitops_ml.subscriber import Subscriber, Trust
from tests.serving.channels import RunningChannel, channel_of
from tests.serving.signing import CHANNEL, project_key, signed

FILES = {"g7": b"seven", "g8": b"eight", "g9": b"nine"}
Subscribe = Callable[..., Subscriber[bytes]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project's key, another key, and the list that names the first."""
    folder = tmp_path_factory.mktemp("keys")
    project_key(folder)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "other")], check=True)
    return folder


@pytest.fixture
def subscribe(tmp_path: Path, keys: Path) -> Iterator[Subscribe]:
    subscribers = []

    def subscribe(url: str, channel: str = CHANNEL) -> Subscriber[bytes]:
        def load(folder: Path) -> bytes:
            return (folder / "model.txt").read_bytes()

        trust = Trust(channel, keys / "allowed_signers")
        subscriber = Subscriber(url, tmp_path / "subscriber", load, name="scorer", timeout=5.0, trust=trust)
        subscribers.append(subscriber)
        return subscriber

    yield subscribe
    for subscriber in subscribers:
        subscriber.close()


@pytest.fixture
def publish(tmp_path: Path, keys: Path) -> Iterator[Callable[..., RunningChannel]]:
    """Publishes a generation on a channel of its own. `changes` are of its statement."""
    running: list[contextlib.AbstractContextManager[RunningChannel]] = []

    def publish(
        generation: str, order: int = 5, back_to: int | None = None, /, *, key: str = "project", **changes: Any
    ) -> RunningChannel:
        folder = tmp_path / f"{generation}-{len(running)}"
        folder.mkdir()
        (folder / "model.txt").write_bytes(FILES[generation])
        more = {"key": keys / key, "order": order, "back_to": back_to, **changes}
        statement = signed(folder, generation, f"v{generation}", **more)
        opened = channel_of(folder, generation, f"v{generation}", signed=statement)
        running.append(opened)
        return opened.__enter__()

    yield publish
    for opened in running:
        opened.__exit__(None, None, None)


def polled(subscriber: Subscriber[bytes], channel: RunningChannel) -> str:
    """Let a subscriber reach a channel, as the gateway's route does, and poll once. Returns what it then runs."""
    subscriber._channel = channel.url
    subscriber.poll()
    return subscriber.current.generation if subscriber.current else ""


def test_what_the_project_signed_is_taken(subscribe: Subscribe, publish: Callable[..., RunningChannel]) -> None:
    channel = publish("g7")
    assert polled(subscribe(channel.url), channel) == "g7"
    assert channel.heard("scorer")["failed"] == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"key": "other"}, "no key in"),
        ({"namespace": "git"}, "no key in"),
        ({"channel": "shop/dev/churn"}, "what was signed is another"),
        ({"generation": "g9"}, "what was signed is another"),
        ({"version": "v1"}, "what was signed is another"),
        ({"files": {"model.txt": b"others"}}, "what was signed is another"),
    ],
)
def test_what_nobody_signed_for_this_channel_is_refused(
    subscribe: Subscribe, publish: Callable[..., RunningChannel], changes: Mapping[str, Any], why: str
) -> None:
    first, second = publish("g7", 5), publish("g8", 6, 5)
    subscriber = subscribe(first.url)
    assert polled(subscriber, first) == "g7"
    # The descriptor of one generation, with a statement that is signed otherwise or says something else.
    forged = publish("g8", 7, **changes)
    assert polled(subscriber, forged) == "g7"
    heard = forged.heard("scorer")
    assert (heard["failed"], heard["generation"]) == ("g8", "g7")
    assert str(heard["error"]).startswith(f"Untrusted: {why}")
    assert polled(subscriber, second) == "g8", "the next publication is taken"


def _unsigned(channel: RunningChannel, true: Any) -> dict[str, Any]:
    return {"signed": {}}


def _another_order(channel: RunningChannel, true: Any) -> dict[str, Any]:
    return {"signed": true["signed"] | {"statement": true["signed"]["statement"].replace('"order": 5', '"order": 9')}}


def _no_signature(channel: RunningChannel, true: Any) -> dict[str, Any]:
    return {"signed": true["signed"] | {"signature": "-----BEGIN SSH SIGNATURE-----"}}


def _another_file(channel: RunningChannel, true: Any) -> dict[str, Any]:
    channel.file = b"evil"
    return {"files": [{"path": "model.txt", "size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}]}


def _one_more_file(channel: RunningChannel, true: Any) -> dict[str, Any]:
    served = channel.channel
    served._paths["more.py"] = served._paths["model.txt"]
    served._files["more.py"] = served._files["model.txt"] | {"path": "more.py"}
    return {"files": list(served._files.values())}


def _another_generation(channel: RunningChannel, true: Any) -> dict[str, Any]:
    channel.channel._generation = "g8"
    return {"generation": "g8"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_unsigned, "it is not signed"),
        (_another_order, "no key in"),
        (_no_signature, "no key in"),
        (_another_file, "what was signed is another"),
        (_one_more_file, "what was signed is another"),
        (_another_generation, "what was signed is another"),
    ],
)
def test_what_was_changed_on_the_way_is_refused(
    subscribe: Subscribe,
    publish: Callable[..., RunningChannel],
    tmp_path: Path,
    change: Callable[[RunningChannel, Any], dict[str, Any]],
    why: str,
) -> None:
    """Whoever changes the descriptor also serves files that go with it, so that only signatures help."""
    channel = publish("g7")
    true = json.loads(channel.channel._descriptor)
    channel.descriptor = json.dumps(true | change(channel, true)).encode()
    assert polled(subscribe(channel.url), channel) == ""
    assert str(channel.heard("scorer")["error"]).startswith(f"Untrusted: {why}")
    credulous = Subscriber(channel.url, tmp_path / "credulous", lambda folder: b"", name="credulous", timeout=5.0)
    assert polled(credulous, channel) != ""
    credulous.close()


def test_an_earlier_publication_is_refused_but_for_what_served_before(
    subscribe: Subscribe, publish: Callable[..., RunningChannel]
) -> None:
    first, second, third = publish("g7", 5), publish("g8", 6, 5), publish("g9", 8, 6)
    subscriber = subscribe(first.url)
    assert [polled(subscriber, channel) for channel in (first, second, first, second)] == ["g7", "g8", "g7", "g8"]
    assert polled(subscriber, third) == "g9"
    assert polled(subscriber, first) == "g9", "two publications back"
    assert "published before" in str(first.heard("scorer")["error"])
    assert polled(subscriber, second) == "g8", "what served before the newest: a rollback"
    subscriber.close()
    again = subscribe(second.url)
    again.restore()
    assert polled(again, first) == "g8", "a restart forgets no order"
    assert polled(again, publish("g7", 10, 6)) == "g7", "a rollback in Git is a publication of its own"


def test_a_model_that_outlasted_two_that_do_not_load_is_loaded_again(
    subscribe: Subscribe, publish: Callable[..., RunningChannel]
) -> None:
    first, second, third = publish("g7", 5), publish("g8", 6, 5), publish("g9", 8, 6)
    second.file = third.file = b"what is signed is another file"
    subscriber = subscribe(first.url)
    assert [polled(subscriber, channel) for channel in (first, second, third)] == ["g7"] * 3
    subscriber.close()
    again = subscribe(third.url)
    again.restore()
    assert again.wait(0).generation == "g7"


def test_an_order_is_remembered_that_changed_no_model(
    subscribe: Subscribe, publish: Callable[..., RunningChannel]
) -> None:
    first, second = publish("g7", 5), publish("g8", 6, 5)
    subscriber = subscribe(first.url)
    assert [polled(subscriber, channel) for channel in (first, publish("g7", 9, 6))] == ["g7", "g7"]
    assert polled(subscriber, second) == "g8", "what the newest statement names"
    assert polled(subscriber, first) == "g8"


def test_a_model_on_the_disk_that_nobody_signed_is_not_loaded(
    subscribe: Subscribe, publish: Callable[..., RunningChannel], tmp_path: Path
) -> None:
    channel = publish("g7")
    subscriber = subscribe(channel.url)
    assert polled(subscriber, channel) == "g7"
    subscriber.close()
    kept = tmp_path / "subscriber/current.json"
    kept.write_text(kept.read_text().replace("vg7", "vg8"))
    again = subscribe(channel.url)
    again.restore()
    assert again.current is None


def test_without_ssh_keygen_no_signature_is_taken_on_trust(
    subscribe: Subscribe, publish: Callable[..., RunningChannel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = publish("g7", 5), publish("g8", 6, 5)
    subscriber = subscribe(first.url)
    assert polled(subscriber, first) == "g7"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert polled(subscriber, second) == "g7"
    assert "ssh-keygen" in str(second.heard("scorer")["error"])
    with pytest.raises(RuntimeError, match="ssh-keygen is not installed"):
        Subscriber(first.url, tmp_path / "another", Path.read_bytes, trust=Trust(CHANNEL, "allowed_signers"))
    with pytest.raises(InputError, match="ssh-keygen is not installed"):
        sign("text", "key", NAMESPACE)


def test_a_key_that_signs_nothing_is_an_error_that_names_it(keys: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(locked)], check=True)
    for key in (locked, tmp_path / "absent"):
        with pytest.raises(InputError, match=f"GITOPS_ML_SIGNING_KEY names {key}") as caught:
            sign("text", str(key), NAMESPACE)
        assert caught.value.why


def test_a_key_may_stay_in_an_agent(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.pub").write_bytes((keys / "project.pub").read_bytes())
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.PIPE)
    try:
        assert agent.stdout and agent.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", str(keys / "project")], check=True)
        assert sign("text", str(tmp_path / "key.pub"), NAMESPACE) == sign("text", str(keys / "project"), NAMESPACE)
    finally:
        agent.terminate()
        agent.wait()


def test_no_redirect_to_another_host_is_followed(tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"http://{self.headers['Host']}{self.path}")
            self.send_response(302 if self.path == "/channel" else 404)
            self.send_header("Location", targets.pop() if targets else "/")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    servers = [HTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
    here, there = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    targets = [f"{here}/moved", f"{there}/channel", "file:///etc/hostname"]
    for server in servers:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    subscriber = Subscriber(f"{here}/channel", tmp_path / "s", Path.read_bytes, headers={"Authorization": "token"})
    for _ in range(3):
        assert subscriber.poll() == 5.0
    subscriber.close()
    for server in servers:
        server.shutdown()
        server.server_close()
    assert asked == [f"{here}/channel"] * 3 + [f"{here}/moved"], "only the redirect on the same host is followed"
