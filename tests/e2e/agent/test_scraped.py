"""A real Prometheus scrapes the agent's HTTP side, as docs/agent.md says how."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from gitops_ml.control.agent.replica_metrics import Replica
from gitops_ml.control.agent.web import model_metrics
from gitops_ml.control.agent.web.hooks import Hooks
from gitops_ml.control.agent.web.routes import gets
from gitops_ml.control.agent.web.server import HttpServer
from gitops_ml.serving.metrics import Metrics as ServedMetrics
from tests.e2e.observed_orders import require_prometheus
from tests.ports import free_port
from tests.unit.agent_http.live_agent import board_of_dev, failed_rollout

ROOT = Path(__file__).parents[3]
REPLICAS = [Replica("dev", "churn", "v1", "1" * 12, str(n)) for n in range(2)]


def configurations() -> list[Any]:
    """The configurations of Prometheus in the docs."""
    page = (ROOT / "docs" / "agent.md").read_text()
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(scrape_configs:.*?)```", page, re.DOTALL)]


def test_prometheus_scrapes_the_agent_and_each_replica(tmp_path: Path) -> None:
    require_prometheus()
    board = board_of_dev()
    failed_rollout(board)
    board.ended("dev", {}, succeeded=True)
    served = ServedMetrics({"deployment": "churn"})
    served.answered(200, 1, 0.01)
    served.answered(500, 1, 0.01)
    models = model_metrics.gets(lambda _: {"dev": dict.fromkeys(REPLICAS, served.text(0).decode())})
    own = gets(board, 600.0, Hooks(b"", lambda: None).families)
    server = HttpServer("127.0.0.1", 0, {**own, **models})
    server.start()
    whole, discovered = configurations()
    jobs = whole["scrape_configs"] + [{**job, "job_name": "discovered"} for job in discovered["scrape_configs"]]
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
    file = tmp_path / "prometheus.yml"
    file.write_text(json.dumps(config).replace("127.0.0.1:9464", server.address))
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={file}",
            f"--storage.tsdb.path={tmp_path}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        until_answers(port, 'up{job="gitops-ml"}', 1)
        until_answers(port, 'gitops_ml_agent_ready{job="gitops-ml",environment="dev"}', 1)
        for job in ("models", "discovered"):
            found = until_answers(port, f'gitops_ml_inference_requests_total{{job="{job}",code="200"}}', 2)
            assert [{name: each[name] for name in Replica._fields} for each in found] == [r._asdict() for r in REPLICAS]
        until_answers(port, 'up{job="discovered"} == 1', 2)
        for query in board_queries():
            until_answers(port, query)
    finally:
        process.kill()
        process.wait()
        server.close()


def board_queries() -> list[str]:
    """The queries of the Grafana board: variables filled in, without the comparison that hides what is well."""
    board = json.loads((ROOT / "docs" / "grafana.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    filled = [
        re.sub(r"\$(environment|deployment)", ".*", query).replace("$__rate_interval", "10s") for query in queries
    ]
    return [re.sub(r" == \d$", "", query) for query in filled]


def until_answers(port: int, query: str, series: int | None = None) -> list[dict[str, str]]:
    """The labels of what Prometheus finds, once it finds so many series, or any, in the order of replicas."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
    deadline = time.monotonic() + 60
    found: list[dict[str, str]] = []
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found = [each["metric"] for each in json.load(answer)["data"]["result"]]
        except OSError:  # it has not started yet
            found = []
        if len(found) == series or (series is None and found):
            return sorted(found, key=lambda labels: labels.get("replica", ""))
        time.sleep(0.2)
    raise AssertionError(f"{query}: {found}")
