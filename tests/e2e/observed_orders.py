"""A page with a figure of the team's business, and a real Prometheus that scrapes it."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port


@contextmanager
def page() -> Iterator[tuple[str, dict[str, Any]]]:
    """The address of a page, and its answer: tests change `status` and `body`."""
    told: dict[str, Any] = {"status": 200, "body": "all is well"}

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(told["status"])
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            self.wfile.write(told["body"].encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/", told
        listening.shutdown()


class Prometheus:
    """A Prometheus that scrapes one page every 200 ms."""

    def __init__(self, folder: Path, scraped: str) -> None:
        self._folder = folder
        target = urllib.parse.urlsplit(scraped).netloc
        config = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [{"job_name": "orders", "static_configs": [{"targets": [target]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config))
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--log.level=error",
            ]
        )

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    def value(self, query: str) -> float | None:
        """The value of a query now; None if there is no series."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as said:
                found = json.load(said)["data"]["result"]
        except OSError:
            return None
        return float(found[0]["value"][1]) if found else None

    def await_value(self, query: str, value: float, within: float = 30.0) -> None:
        deadline = time.monotonic() + within
        while self.value(query) != value:
            assert time.monotonic() < deadline, f"{query} is {self.value(query)}, not {value}"
            time.sleep(0.1)


def require_prometheus() -> None:
    """Skip the test if Prometheus is not installed; `make test` installs it where it can."""
    if not shutil.which("prometheus"):
        pytest.skip("there is no Prometheus: apt-get install prometheus")
