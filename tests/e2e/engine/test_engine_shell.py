"""The shell that stays open in a container: its output, how it ends, and what happens when it is lost."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gitops_ml.clients.gateway.journal import Journal
from gitops_ml.clients.gateway.layout import ROOT
from gitops_ml.errors import EngineFailed, EngineUnavailable
from tests.e2e.place import Place, place_fixture

place = place_fixture
SHELLS = """
n=0
for p in /proc/[0-9]*; do [ "$(tr '\\0' ' ' <"$p/cmdline" 2>/dev/null)" != "sh " ] || n=$((n + 1)); done
echo "$n"
"""


@pytest.fixture
def gateway(place: Place) -> str:
    return place.ensure_gateway()


def test_a_script_returns_what_a_command_would(place: Place, gateway: str) -> None:
    script = 'printf %s "$2"; printf %s "$1" >&2; cd /; exit 7'
    words = ['it\'s "so" $HOME `id`\n\\', ""]
    for _ in range(2):
        result = place.engine.exec_in_shell(gateway, script, words)
        assert (result.code, result.stdout, result.stderr) == (7, b"", words[0].encode())


def test_any_bytes_come_through_even_what_looks_like_the_end_mark(place: Place, gateway: str) -> None:
    size = 3_000_000
    result = place.engine.exec_in_shell(gateway, f"head -c {size} /dev/zero; printf '\\n00 0\\n'; pwd >&2; cat", ())
    assert result.stdout == bytes(size) + b"\n00 0\n"
    assert result.code == 0


def test_a_second_script_at_the_same_time_gets_its_own_shell(place: Place, gateway: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        said = pool.map(
            lambda n: place.engine.exec_in_shell(gateway, 'sleep 0.3; echo "$1"', (str(n),)).stdout, range(4)
        )
        assert list(said) == [f"{n}\n".encode() for n in range(4)]


def test_an_open_shell_needs_no_call_of_the_engine(place: Place, gateway: str) -> None:
    place.engine.exec_in_shell(gateway, "true", ())
    before = place.engine.calls
    assert place.engine.exec_in_shell(gateway, "echo again", ()).stdout == b"again\n"
    assert place.engine.calls == before


def test_a_restarted_gateway_gets_a_new_shell(place: Place, gateway: str) -> None:
    assert place.engine.exec_in_shell(gateway, "echo 1", ()).stdout == b"1\n"
    place.engine.kill(gateway)
    with pytest.raises(EngineFailed):
        place.engine.exec_in_shell(gateway, "echo 2", ())
    assert not place.engine.has_shell(gateway)
    place.engine.start(gateway)
    assert place.engine.exec_in_shell(gateway, "echo 3", ()).stdout == b"3\n"


def test_a_script_that_takes_too_long_ends_the_wait_and_the_shell(place: Place, gateway: str) -> None:
    started = time.monotonic()
    with pytest.raises(EngineUnavailable):
        place.engine.exec_in_shell(gateway, "sleep 5", (), timeout=0.5)
    assert time.monotonic() - started < 3
    assert place.engine.exec_in_shell(gateway, "echo after", ()).stdout == b"after\n"


def test_closing_the_shells_leaves_no_process_behind(place: Place, gateway: str) -> None:
    place.engine.exec_in_shell(gateway, "true", ())
    assert place.engine.exec(gateway, ["sh", "-c", SHELLS]).stdout.strip() == b"1"
    place.engine.close_shells()
    until = time.monotonic() + 30
    while place.engine.exec(gateway, ["sh", "-c", SHELLS]).stdout.strip() != b"0":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_shell_ends_with_the_process_that_opened_it(place: Place, gateway: str) -> None:
    child = os.fork()
    if child == 0:
        from gitops_ml.clients.engine.client import Engine

        Engine.connect(place.engine.url).exec_in_shell(gateway, "true", ())
        os._exit(0)
    os.waitpid(child, 0)
    until = time.monotonic() + 30
    while place.engine.exec(gateway, ["sh", "-c", SHELLS]).stdout.strip() != b"0":
        assert time.monotonic() < until
        time.sleep(0.1)


def test_journal_entries_written_through_the_shell_are_the_same(place: Place, gateway: str) -> None:
    journal = Journal(place.engine, gateway, ())
    entries = [b'{"n":1,"it\'s":"\xc3\xa9 \\n $(id)"}', b'{"n":2}']
    journal.append(entries[:1])
    place.engine.exec_in_shell(gateway, "true", ())
    before = place.engine.calls
    journal.append(entries[1:])
    journal.append(entries)
    assert place.engine.calls == before
    assert list(place.look().journal.values()) == [*entries, *entries]
    assert place.engine.get(gateway, f"{ROOT}/stage") == {}


def test_a_journal_that_cannot_be_written_is_an_error(place: Place, gateway: str) -> None:
    place.engine.exec_in_shell(gateway, f"chmod 500 {ROOT}/journal", ())
    with pytest.raises(EngineFailed, match="writing the journal"):
        Journal(place.engine, gateway, ()).append([b"{}"])
    assert place.engine.get(gateway, f"{ROOT}/stage") == {}
