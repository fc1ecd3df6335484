"""The gateway's shell scripts by themselves, in a folder of their own, with a `wget` and `nc` that answer from a table.

What they do beside a real Traefik is tested in `tests/e2e/gateway`.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gitops_ml.clients.gateway import layout

# Takes the answer of a URL from the file of that name: the first line is the exit code (and the word `forever` for an
# endless answer, `hang` for none), the rest is the answer. Without a file the server refuses the connection.
WGET = """#!/bin/sh
for url; do :; done
echo "$url" >>"$ANSWERS/asked"
case $* in *"-O /dev/null"*) exec >/dev/null ;; esac
file=$ANSWERS/$(printf %s "$url" | tr -c 'a-z0-9\\n' _)
if [ ! -e "$file" ]; then echo "wget: can't connect: Connection refused" >&2; exit 1; fi
{ read -r code; [ "$code" != forever ] || exec yes 1; [ "$code" != hang ] || exec sleep 60
  [ "$code" = 0 ] && cat || cat >&2; } <"$file"
exit "$code"
"""
# The same for a server behind busybox's `nc HOST PORT -e PROGRAM…`, which runs a program with the connection as its
# input and output. The fifth word of ours is the request's first line. `-w 2` before them tries a connection alone.
NC = """#!/bin/sh
listens() { ls "$ANSWERS/$(printf %s "http://$1:$2/" | tr -c 'a-z0-9\\n' _)"* >/dev/null 2>&1; }
if [ "$1" = -w ]; then listens "$3" "$4"; exit; fi
server=$1:$2
shift 3
path=${5#* }
url=http://$server${path% *}
echo "$url" >>"$ANSWERS/asked"
file=$ANSWERS/$(printf %s "$url" | tr -c 'a-z0-9\\n' _)
[ -e "$file" ] || exit 1
read -r code <"$file"
case $code in
  0) { printf 'HTTP/1.1 200 OK\\r\\nServer: x\\r\\n\\r\\n'; sed 1d "$file"; } | "$@" >/dev/null ;;
  forever) { printf 'HTTP/1.1 200 OK\\r\\n\\r\\n'; exec yes 1; } | "$@" >/dev/null ;;
  hang) exec sleep 60 ;;
  *) sed 1d "$file" >&2; exit "$code" ;;
esac
"""
SCRIPTS = sorted(path.stem for path in Path(layout.__file__).parent.glob("scripts/*.sh") if path.stem != "ask")


@dataclass
class Gateway:
    """A folder that stands for the gateway's volume."""

    root: Path
    answers: Path

    def answer(self, url: str, body: str, code: int | str = 0) -> None:
        """What `wget` prints for a URL, and its exit code."""
        name = re.sub("[^a-z0-9]", "_", url)
        (self.answers / name).write_text(f"{code}\n{body}")

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        script = layout.script(name).replace(f"ROOT={layout.ROOT} ", f"ROOT={self.root} ")
        programs = f"{self.answers.parent / 'bin'}:{os.environ['PATH']}"
        environment = {"PATH": programs, "ANSWERS": str(self.answers)}
        return subprocess.run(
            ["sh", "-c", script, "sh", *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def files(self) -> dict[str, str]:
        return {str(p.relative_to(self.root)): p.read_text() for p in self.root.rglob("*") if p.is_file()}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    for folder in ("bin", "answers", *(f"volume/{name}" for name in (layout.ROUTES, layout.STAGE, layout.JOURNAL))):
        (tmp_path / folder).mkdir(parents=True)
    for name, program in (("wget", WGET), ("nc", NC)):
        path = tmp_path / "bin" / name
        path.write_text(program)
        path.chmod(0o755)
    return Gateway(tmp_path / "volume", tmp_path / "answers")


def enable(gateway: Gateway, revision: str, status: str = "enabled") -> None:
    """Have Traefik know a revision of the route of `m`."""
    gateway.answer(f"{layout.API}/api/http/middlewares/{revision}@file", "{}")
    gateway.answer(f"{layout.API}/api/http/routers/m.protocol@file", f'{{"status":"{status}"}}')


def test_each_script_says_what_it_does_and_is_asked_for_by_name() -> None:
    assert SCRIPTS
    sources = "".join(path.read_text() for path in Path(layout.__file__).parent.rglob("*.py"))
    for name in SCRIPTS:
        assert f'script("{name}")' in sources
        first, second = (Path(layout.__file__).parent / f"scripts/{name}.sh").read_text().splitlines()[:2]
        assert first == "# shellcheck shell=busybox"
        assert second.startswith("# ")


def test_the_scripts_wait_as_long_as_their_tries_are_counted_for() -> None:
    for name in ("await-answer", "switch-route", "await-servers-up", "remove-route"):
        assert f"sleep {layout.POLL}\n" in layout.script(name)


# --- routes


def test_a_route_is_moved_in_place_once_it_is_loaded(gateway: Gateway) -> None:
    enable(gateway, "m.rev-1")
    assert gateway.run("switch-route", "m", "m.rev-1", "5", "new").returncode == 0
    assert gateway.files() == {"routes/m.yml": "new"}


@pytest.mark.parametrize("status", ["disabled", ""])
def test_a_route_that_is_not_loaded_is_taken_back(gateway: Gateway, status: str) -> None:
    (gateway.root / "routes/m.yml").write_text("old")
    enable(gateway, "m.rev-1", status)
    assert gateway.run("switch-route", "m", "m.rev-1", "3", "new").returncode == 3
    assert gateway.files() == {"routes/m.yml": "old"}


def test_a_first_route_that_is_not_loaded_is_removed(gateway: Gateway) -> None:
    assert gateway.run("switch-route", "m", "m.rev-1", "2", "new").returncode == 3
    assert gateway.files() == {}


def test_a_staged_route_needs_no_content(gateway: Gateway) -> None:
    enable(gateway, "m.rev-1")
    (gateway.root / "stage/m.yml").write_text("long")
    assert gateway.run("switch-route", "m", "m.rev-1", "5", "").returncode == 0
    assert gateway.files() == {"routes/m.yml": "long"}


def test_an_unchanged_route_is_reported(gateway: Gateway) -> None:
    enable(gateway, "m.rev-1")
    (gateway.root / "routes/m.yml").write_text("same")
    assert gateway.run("switch-route", "m", "m.rev-1", "5", "same").stdout == "unchanged\n"


@pytest.mark.parametrize(("answer", "code"), [("server returned error: HTTP/1.1 404 Not Found", 0), ("500", 3)])
def test_a_route_is_removed_once_traefik_does_not_know_it(gateway: Gateway, answer: str, code: int) -> None:
    (gateway.root / "routes/m.yml").write_text("old")
    gateway.answer(f"{layout.API}/api/http/routers/m.protocol@file", answer, 1)
    assert gateway.run("remove-route", "m", "3").returncode == code
    assert gateway.files() == {}


def test_only_route_files_and_the_certificate_stay_in_the_folder_of_routes(gateway: Gateway) -> None:
    routes = gateway.root / "routes"
    ours, foreign = ("m.yml", "m-2.yml", layout.CERTIFICATE), ("x.yaml", "M.yml", ".yml", ".x.yml", "a b\nc.yml")
    for name in (*ours, *foreign, "named.yml"):
        (routes / name).write_text("")
    for folder in ("sub", "folder.yml"):
        (routes / folder).mkdir()
        (routes / folder / "x.yml").write_text("")
    (routes / os.fsdecode(b"\xff.yml")).write_text("")
    assert gateway.run("tidy", "named.yml").returncode == 0
    assert {path.name for path in routes.iterdir()} == set(ours)
    assert gateway.run("tidy").returncode == 0


def test_waiting_for_servers_ends_when_none_is_down_or_the_tries_are_used_up(gateway: Gateway) -> None:
    gateway.answer("http://api/a", '{"serverStatus":{"http://a:8080":"UP"}}')
    assert gateway.run("await-servers-up", "100", "http://api/a").returncode == 0
    assert len((gateway.answers / "asked").read_text().splitlines()) == 1
    gateway.answer("http://api/a", '{"serverStatus":{"http://a:8080":"DOWN"}}')
    assert gateway.run("await-servers-up", "3", "http://api/a").returncode == 0
    assert len((gateway.answers / "asked").read_text().splitlines()) == 4


@pytest.mark.parametrize(("body", "code"), [("pong", 0), (None, 3)])
def test_an_answer_is_awaited(gateway: Gateway, body: str | None, code: int) -> None:
    if body:
        gateway.answer("http://h/ping", body)
    assert gateway.run("await-answer", "http://h/ping", "3").returncode == code


# --- drain


def test_a_drain_counts_what_servers_say_and_believes_nothing_else(gateway: Gateway) -> None:
    answers = ['{"in_flight": 3}', '{"in_flight":0}', '{"in_flight": 12, "other": 1}', "nonsense"]
    answers += ['{"in_flight": $(touch /tmp/x)}', '{"in_flight": 99999999999999999999}', '{"in_flight": -1}', ""]
    for number, answer in enumerate(answers):
        gateway.answer(f"http://{number}:8080/gitops-ml/in-flight", answer)
    ran = gateway.run("drain", "1", *(f"{number}:8080" for number in range(len(answers))))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "15\n", "")


def test_a_drain_waits_for_a_server_that_does_not_say_its_number(gateway: Gateway) -> None:
    gateway.answer("http://a:8080/gitops-ml/in-flight", "nonsense")
    started = time.monotonic()
    gateway.run("drain", "2", "a:8080")
    assert time.monotonic() - started > 0.9


def test_a_drain_does_not_wait_for_servers_that_are_gone(gateway: Gateway) -> None:
    started = time.monotonic()
    assert gateway.run("drain", "30", "a:8080", "b:8080").stdout == "0\n"
    assert time.monotonic() - started < 5


# --- answers of servers


def test_metrics_of_each_server_are_bounded(gateway: Gateway) -> None:
    gateway.answer("http://a:8080/metrics", "x 1\n")
    gateway.answer("http://b:8080/metrics", "", "forever")
    ran = gateway.run("read-each", "=", "50", "2", "/metrics", "a:8080", "b:8080", "c:8080")
    assert ran.stdout == "= a:8080\nx 1\n\n= b:8080\n" + "1\n" * 15 + "= c:8080\n"


def test_an_answer_that_came_whole_is_marked(gateway: Gateway) -> None:
    gateway.answer("http://a:80/x", "rows")
    assert gateway.run("read-url", "http://a:80/x", "5", "100").stdout == "rows\nok"


@pytest.mark.parametrize("code", ["forever", "hang", 1])
def test_an_answer_that_is_cut_is_not_marked(gateway: Gateway, code: int | str) -> None:
    gateway.answer("http://a:80/x", "rows", code)
    ran = gateway.run("read-url", "http://a:80/x", "1", "100")
    assert len(ran.stdout) <= 100
    assert not ran.stdout.endswith("ok")


def test_readiness_prints_three_lines_for_each_server(gateway: Gateway) -> None:
    for name in "ab":
        gateway.answer(f"http://{name}:80/m", f'{{"name":\n"{name}"}}')
        gateway.answer(f"http://{name}:80/m/infer", '{"outputs":[]}')
    urls = ("http://a:80/m", "http://a:80/m/infer", "http://b:80/m", "")
    ran = gateway.run("ask-ready", "5", "100", "1000", "{}", *urls)
    lines = ran.stdout.splitlines()
    assert (ran.returncode, len(lines)) == (0, 7)
    assert [lines[1], lines[3]] == ['{"name": "a"} ok', '{"outputs":[]} ok']
    assert [lines[4], lines[6]] == ['{"name": "b"} ok', ""]
    assert all(lines[n].isdigit() for n in (0, 2, 5))


@pytest.mark.parametrize(("status", "ready"), [("204 Empty", True), ("302 Found", False), ("404 Not Found", False)])
def test_only_a_success_is_ready_and_a_redirect_is_not_followed(gateway: Gateway, status: str, ready: bool) -> None:
    gateway.answer("http://a:80/m", f"HTTP/1.1 {status}\r\nLocation: http://b:80/m\r\n\r\n", 1)
    gateway.answer("http://b:80/m", "{}")
    assert gateway.run("ask-ready", "5", "10", "1000", "", "http://a:80/m", "").returncode == (0 if ready else 3)
    assert set((gateway.answers / "asked").read_text().split()) == {"http://a:80/m"}


def test_a_server_that_refuses_connections_is_not_asked_again(gateway: Gateway) -> None:
    assert gateway.run("ask-ready", "5", "30", "1000", "", "http://a:80/m", "").returncode == 3
    assert (gateway.answers / "asked").read_text().split() == ["http://a:80/m"]


def test_readiness_cuts_long_answers(gateway: Gateway) -> None:
    gateway.answer("http://a:80/m", "", "forever")
    # The first look only asks for the status, which is bounded in time.
    ran = gateway.run("ask-ready", "1", "10", "20", "", "http://a:80/m", "")
    assert ran.returncode in (0, 3)
    assert len(ran.stdout) < 100


@pytest.mark.parametrize(("message", "code"), [("503", 3), ("nc: bad address 'a'", 4)])
def test_readiness_says_why_it_waits(gateway: Gateway, message: str, code: int) -> None:
    gateway.answer("http://a:80/m", message, 1)
    assert gateway.run("ask-ready", "5", "10", "1000", "", "http://a:80/m", "").returncode == code


def test_servers_that_answer_nothing_are_found(gateway: Gateway) -> None:
    gateway.answer("http://ok:80/", "")
    gateway.answer("http://busy:80/", "HTTP/1.1 503 Service Unavailable", 1)
    gateway.answer("http://lost:80/", "nc: bad address 'lost'", 1)
    gateway.answer("http://hangs:80/", "", "hang")
    urls = [f"http://{name}:80/" for name in ("ok", "busy", "lost", "hangs", "refuses")]
    ran = gateway.run("find-unresponsive", "2", "1", *urls)
    assert sorted(ran.stdout.split()) == ["http://hangs:80/", "http://refuses:80/"]
    asked = (gateway.answers / "asked").read_text().split()
    assert [asked.count(url) for url in urls] == [1, 1, 1, 2, 2]


# --- the volume


def test_journal_entries_are_written_with_their_own_text(gateway: Gateway) -> None:
    entries = ("1.json", '{"it\'s": "$HOME `id`\\n"}', "2.json", "{}")
    assert gateway.run("write-journal", *entries).returncode == 0
    assert gateway.files() == {"journal/1.json": entries[1], "journal/2.json": "{}"}


def test_an_entry_that_cannot_be_written_leaves_nothing_half(gateway: Gateway) -> None:
    (gateway.root / "journal").rmdir()
    assert gateway.run("write-journal", "1.json", "{}").returncode == 1
    assert gateway.files() == {}


@pytest.mark.parametrize(("body", "code"), [('{"services": {}}', 0), (None, 8)])
def test_a_look_brings_the_files_and_what_traefik_has_loaded(gateway: Gateway, body: str | None, code: int) -> None:
    (gateway.root / "routes/m.yml").write_text("route")
    if body:
        gateway.answer(f"{layout.API}/api/rawdata", body)
    ran = gateway.run("look")
    assert (ran.returncode, ran.stderr) == (code, body or "")
    assert "routes/m.yml" in ran.stdout


def test_a_look_at_a_volume_that_is_broken_fails(gateway: Gateway) -> None:
    (gateway.root / "journal").rmdir()
    assert gateway.run("look").returncode == 9
