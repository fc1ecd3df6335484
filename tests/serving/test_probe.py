"""The probe against real servers that are ready, wrong, dead or failing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from gitops_ml.serving.probe import main, run
from tests.serving.artifacts import body, rows
from tests.serving.conftest import ROOT, ServerProcess, Start

EXPECT = {"version": "v1.2.0", "digest": "md5:6c1f"}
DEAD = "http://127.0.0.1:9"


def target(name: str, url: str, **expect: str) -> dict[str, Any]:
    return {"name": name, "url": url, "model": "delays", "expect": {**EXPECT, **expect}}


def job(*targets: dict[str, Any], deadline: float = 20.0, **more: Any) -> dict[str, Any]:
    return {"deadline": deadline, "interval": 0.02, "targets": list(targets), "example": None, **more}


def test_a_ready_server_gives_metadata_smoke_and_outputs(server: ServerProcess, pipeline: Pipeline) -> None:
    frames = [rows(500, seed=1), rows(70, seed=2)]
    url = f"http://{server.url}"
    targets = [target("candidate", url), target("incumbent", f"{url}/delays")]
    result = run(job(*targets, example=body(rows(1))), [body(frame) for frame in frames])["targets"]
    assert list(result) == ["candidate", "incumbent"]
    for answer in result.values():
        assert (answer["ready"], answer["error"], answer["rows"]) == (True, None, 570)
        assert answer["metadata"]["parameters"]["digest"] == "md5:6c1f"
        assert answer["smoke"]["ok"]
        assert answer["smoke"]["outputs"]["predict"] == pipeline.predict(rows(1)).tolist()
        for frame, outputs in zip(frames, answer["outputs"], strict=True):
            np.testing.assert_allclose(outputs["predict_proba"], pipeline.predict_proba(frame).ravel())


def test_another_digest_is_an_error_at_once(server: ServerProcess) -> None:
    started = time.monotonic()
    asked = job(target("candidate", f"http://{server.url}", digest="md5:0000"))
    result = run(asked, [])["targets"]["candidate"]
    assert time.monotonic() - started < 5
    assert result["ready"] is False
    assert result["error"] == "answers with digest md5:6c1f, not md5:0000"


def test_a_target_that_never_answers_does_not_hide_the_other(server: ServerProcess) -> None:
    asked = job(target("dead", DEAD), target("alive", f"http://{server.url}"), deadline=1.0)
    result = run(asked, [body(rows(2))])["targets"]
    assert result["dead"]["error"] == "not ready within the deadline: connection refused"
    assert (result["alive"]["ready"], result["alive"]["rows"]) == (True, 2)


def test_a_name_that_does_not_resolve_is_an_error() -> None:
    result = run(job(target("gone", "http://no-such-name.invalid:8080"), deadline=2.0), [])
    assert "its name does not resolve" in result["targets"]["gone"]["error"]


def test_it_waits_for_a_server_that_is_still_loading(start: Start, artifact: Path) -> None:
    late = start(artifact)
    result = run(job(target("late", f"http://{late.url}"), deadline=60.0), [])["targets"]["late"]
    assert result["ready"], result
    assert result["ready_seconds"] > 0.2


def test_a_failed_request_is_named_and_earlier_answers_are_kept(server: ServerProcess) -> None:
    bodies = [body(rows(5)), {"inputs": body(rows(5))["inputs"][:2]}, body(rows(5))]
    result = run(job(target("one", f"http://{server.url}")), bodies)["targets"]["one"]
    assert result["error"] == "request 2 of 3: HTTP 400: missing input 'hour'"
    assert (result["ready"], len(result["outputs"]), result["rows"]) == (True, 1, 5)


class Liar(BaseHTTPRequestHandler):
    """Answers every request with 200, and with the expected metadata, but without a prediction."""

    def do_GET(self) -> None:
        self._say({"name": "delays", "versions": ["v1.2.0"], "parameters": {"digest": "md5:6c1f"}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say({"outputs": [{"name": "predict", "datatype": "FP64", "shape": [1], "data": [None]}]})

    def _say(self, content: object) -> None:
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("count", "message"),
    [(1, "smoke: output predict holds no value"), (2, "smoke: the answer has no 2 rows in ['predict']")],
)
def test_a_server_that_answers_nonsense_fails_smoke(count: int, message: str) -> None:
    liar = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=liar.serve_forever, args=(0.05,), daemon=True).start()
    asked = job(target("liar", f"http://127.0.0.1:{liar.server_port}"), example=body(rows(count)))
    result = run(asked, [])["targets"]["liar"]
    liar.shutdown()
    liar.server_close()
    assert result["ready"] is True
    assert result["smoke"]["ok"] is False
    assert message in result["error"]


def test_the_command_reads_its_job_and_writes_its_result(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "requests.json").write_text(json.dumps({"bodies": [body(rows(40))]}))
    asked = job(target("one", f"http://{server.url}"), requests=str(tmp_path / "requests.json"))
    (tmp_path / "job.json").write_text(json.dumps(asked))
    code = "import sys, pathlib, gitops_ml.serving.probe as p; sys.exit(p.main(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"]
    ran = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
    summary = json.loads(ran.stdout)["targets"]["one"]
    assert (summary["ready"], summary["rows"], summary["error"]) == (True, 40, None)
    assert len(ran.stdout.splitlines()) == 1
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["targets"]["one"]["outputs"][0]["predict"]) == 40


def test_a_broken_job_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.json").write_text("{}")
    assert main(tmp_path) == 2
    assert "the probe's job cannot be done: KeyError: 'deadline'" in capsys.readouterr().err
