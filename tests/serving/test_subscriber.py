"""Subscribers keep a whole model through anything: real channels, a real disk, and channels that lie."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gitops_ml.subscriber import Subscriber, slot_of
from tests.ports import free_port
from tests.serving.channels import RunningChannel, channel_of

OLD = {"model.txt": b"old", "deep/words.txt": b"of both"}
NEW = {"model.txt": b"new" * 200_000, "deep/words.txt": b"of both"}
Subscribe = Callable[..., Subscriber[bytes]]


def read_model(folder: Path) -> bytes:
    content = (folder / "model.txt").read_bytes()
    if content.startswith(b"broken"):
        raise ValueError("an unknown type")
    return content


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Iterator[RunningChannel]:
    with channel_of(written(tmp_path / "old", OLD), "g7", "v1.0.0") as running:
        yield running


@pytest.fixture
def new(tmp_path: Path) -> Iterator[RunningChannel]:
    with channel_of(written(tmp_path / "new", NEW), "g8", "v2.0.0") as running:
        yield running


@pytest.fixture
def subscribe(tmp_path: Path) -> Iterator[Subscribe]:
    subscribers = []

    def subscribe(url: str, name: str = "scorer") -> Subscriber[bytes]:
        subscriber = Subscriber(url, tmp_path / "subscribers" / name, read_model, name=name, timeout=5.0)
        subscribers.append(subscriber)
        return subscriber

    yield subscribe
    for subscriber in subscribers:
        subscriber.close()


def switched(subscriber: Subscriber[bytes], channel: RunningChannel) -> None:
    """Let a subscriber reach another channel at the same URL, as the gateway's route does, and poll once."""
    subscriber._channel = channel.url
    subscriber.poll()


def await_true(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_subscriber_loads_what_is_published_and_says_so(old: RunningChannel, subscribe: Subscribe) -> None:
    subscriber = subscribe(old.url)
    with pytest.raises(TimeoutError, match="no model"):
        subscriber.wait(0.01)
    assert subscriber.poll() == 1.0
    assert subscriber.wait(0).model == b"old"
    subscriber.count(5, errors=2)
    subscriber.poll()
    heard = old.heard("scorer")
    assert (heard["generation"], heard["version"], heard["failed"]) == ("g7", "v1.0.0", "")
    assert (heard["scored"], heard["errors"]) == (5, 2)


def test_a_rollback_needs_no_download(old: RunningChannel, new: RunningChannel, subscribe: Subscribe) -> None:
    subscriber = subscribe(old.url)
    subscriber.poll()
    subscriber.count(5)
    switched(subscriber, new)
    assert subscriber.wait(0).model == NEW["model.txt"] and new.heard("scorer")["scored"] == 0
    old.file = b"not asked for"
    switched(subscriber, old)
    assert subscriber.wait(0).model == b"old"


def test_a_restarted_subscriber_has_its_model_without_the_channel(
    tmp_path: Path, old: RunningChannel, subscribe: Subscribe
) -> None:
    first = subscribe(old.url)
    first.poll()
    first.close()
    old.stop()
    second = subscribe(old.url)
    second.restore()
    second.poll()
    assert second.wait(0).model == b"old"
    second.close()
    (tmp_path / "subscribers/scorer/g7/model.txt").write_bytes(b"bad")
    third = subscribe(old.url)
    third.restore()
    assert third.current is None, "what was tampered with on the disk is not loaded"


def test_a_model_that_does_not_load_is_a_failure_until_it_is_rolled_back(
    tmp_path: Path, old: RunningChannel, subscribe: Subscribe
) -> None:
    subscriber = subscribe(old.url)
    subscriber.poll()
    with channel_of(written(tmp_path / "broken", {"model.txt": b"broken"}), "g9") as broken:
        switched(subscriber, broken)
        heard = broken.heard("scorer")
    assert (heard["generation"], heard["failed"], heard["error"]) == ("g7", "g9", "ValueError: an unknown type")
    assert subscriber.wait(0).model == b"old"
    switched(subscriber, old)
    assert old.heard("scorer")["failed"] == ""


@pytest.mark.parametrize("content", [b"nEw" * 200_000, b"", b"new" * 300_000])
def test_a_channel_that_lies_about_a_file_changes_nothing(
    old: RunningChannel, new: RunningChannel, subscribe: Subscribe, content: bytes
) -> None:
    subscriber = subscribe(old.url)
    subscriber.poll()
    new.file = content
    switched(subscriber, new)
    whole = len(content) >= len(NEW["model.txt"])
    expected = "g8" if whole and content[:600_000] != NEW["model.txt"] else ""
    assert subscriber.wait(0).model == (NEW["model.txt"] if content[:600_000] == NEW["model.txt"] else b"old")
    assert new.heard("scorer").get("failed", "") == expected


def descriptor(**changes: Any) -> bytes:
    file = {"path": "model.txt", "size": 3, "sha256": hashlib.sha256(b"bad").hexdigest()} | changes.pop("file", {})
    return json.dumps(
        {"schema": 1, "version": "v9", "generation": "g9", "poll_seconds": 1, "files": [file]} | changes
    ).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        descriptor(schema=2),
        descriptor(generation="../g9"),
        descriptor(files=[]),
        descriptor(file={"path": "../model.txt"}),
        descriptor(file={"path": "/etc/model.txt"}),
        descriptor(file={"path": "a/./b"}),
        descriptor(file={"path": "a\0b"}),
        descriptor(file={"size": 1 << 60}),
        descriptor(file={"size": "many"}),
    ],
)
def test_a_malformed_descriptor_changes_nothing(
    tmp_path: Path, old: RunningChannel, subscribe: Subscribe, content: bytes
) -> None:
    subscriber = subscribe(old.url)
    subscriber.poll()
    old.file, old.descriptor = b"bad", content
    before = sorted(path for path in tmp_path.rglob("*") if "g9.part" not in path.parts and path.name != "g9.part")
    assert subscriber.poll() in (5.0, 1.0)
    assert subscriber.wait(0).model == b"old"
    assert sorted(p for p in tmp_path.rglob("*") if "g9.part" not in p.parts and p.name != "g9.part") == before


def test_a_download_that_broke_off_is_resumed(tmp_path: Path, new: RunningChannel, subscribe: Subscribe) -> None:
    subscriber = subscribe(new.url)
    new.file = NEW["model.txt"][:400_000]  # the connection is lost here
    subscriber.poll()
    assert subscriber.current is None and not new.heard("scorer"), "a lost connection is no failure of the model"
    new.file = None
    ranges: list[str | None] = []
    opened = subscriber._open

    def noted(path: str, headers: Any = None, *more: Any) -> Any:
        ranges.append((headers or {}).get("Range"))
        return opened(path, headers, *more)

    subscriber._open = noted  # type: ignore[method-assign, assignment]
    subscriber.poll()
    assert subscriber.wait(0).model == NEW["model.txt"]
    assert "bytes=400000-" in ranges


def test_two_subscribers_do_not_share_a_folder(old: RunningChannel, subscribe: Subscribe) -> None:
    first = subscribe(old.url)
    with pytest.raises(RuntimeError, match="another subscriber"):
        subscribe(old.url)
    first.close()
    assert subscribe(old.url).poll() == 1.0


def test_a_following_subscriber_notices_the_end_of_a_channel_and_its_successor(
    tmp_path: Path, subscribe: Subscribe
) -> None:
    port = free_port()
    with channel_of(written(tmp_path / "a", OLD), "g7", port=port, poll_seconds=600) as first:
        subscriber = subscribe(first.url)
        subscriber.start()
        await_true(lambda: subscriber.current is not None)
        seen: set[bytes] = set()
        stop = threading.Event()

        def use() -> None:
            while not stop.is_set():
                seen.add(subscriber.wait().model)
                time.sleep(0.001)  # a loop without a pause would starve the thread that it looks at

        user = threading.Thread(target=use)
        user.start()
    with channel_of(written(tmp_path / "b", NEW), "g8", port=port):
        await_true(lambda: subscriber.wait(0).model == NEW["model.txt"])
    stop.set()
    user.join()
    assert seen <= {b"old", NEW["model.txt"]}, "the application never sees half a model"


def test_slots_are_spread_evenly() -> None:
    counts = [0] * 100
    for number in range(20_000):
        counts[slot_of(f"scorer-{number}")] += 1
    assert min(counts) > 140 and max(counts) < 260
    assert slot_of("scorer-1") == int(hashlib.sha256(b"scorer-1").hexdigest()[:8], 16) % 100


def test_a_subscriber_speaks_while_it_loads(old: RunningChannel, new: RunningChannel, tmp_path: Path) -> None:
    loads, go_on = threading.Event(), threading.Event()

    def load(folder: Path) -> bytes:
        if folder.name == "g8":
            loads.set()
            assert go_on.wait(20)
        return read_model(folder)

    subscriber = Subscriber(old.url, tmp_path / "slow", load, name="slow", timeout=5.0)
    subscriber.poll()
    subscriber._channel = new.url
    polling = threading.Thread(target=subscriber.poll, daemon=True)
    polling.start()
    assert loads.wait(20)
    await_true(lambda: new.heard("slow").get("generation") == "g7")
    go_on.set()
    polling.join(20)
    await_true(lambda: new.heard("slow")["generation"] == "g8")
    subscriber.close()


def test_a_restart_keeps_the_model_before(old: RunningChannel, new: RunningChannel, subscribe: Subscribe) -> None:
    subscriber = subscribe(old.url)
    subscriber.poll()
    switched(subscriber, new)
    subscriber.close()
    again = subscribe(new.url)
    again.restore()
    assert again.wait(0).generation == "g8"
    assert sorted(p.name for p in again._folder.iterdir() if p.is_dir()) == ["g7", "g8"]


def test_what_an_earlier_attempt_has_downloaded_needs_no_room(
    new: RunningChannel, subscribe: Subscribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber = subscribe(new.url)
    written(subscriber._folder / "g8.part", {"model.txt": NEW["model.txt"][:500_000]})
    left = len(NEW["model.txt"]) - 500_000 + len(NEW["deep/words.txt"])
    room = shutil.disk_usage(subscriber._folder)._replace(free=left)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    subscriber.poll()
    assert subscriber.wait(0).model == NEW["model.txt"]


@pytest.mark.parametrize("name", [".hidden", "a b", "x" * 101])
def test_a_name_that_the_channel_would_refuse_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        Subscriber("http://127.0.0.1:1/m/channel", tmp_path / "s", read_model, name=name)


def test_many_downloads_at_once_take_few_threads(tmp_path: Path) -> None:
    """A thread's stack counts as memory, and a server that has none left answers nobody any more."""
    (tmp_path / "model.bin").write_bytes(bytes(4 << 20))

    def download(_: int) -> int:
        with urllib.request.urlopen(f"{channel.url}/g7/files/model.bin", timeout=60) as answer:
            return len(answer.read())

    with channel_of(tmp_path) as channel, ThreadPoolExecutor(30) as pool:
        assert set(pool.map(download, range(60))) == {4 << 20}
        readers = [thread for thread in threading.enumerate() if thread.name.startswith("AnyIO worker")]
    assert 1 <= len(readers) <= 4
