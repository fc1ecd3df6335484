"""Serving through the gateway: our model server with an unmodified client, and any other image."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request

import docker
import numpy as np
import tritonclient.http as triton

from tests.e2e.file_server import serve_files
from tests.e2e.workshop import EXAMPLE, MANIFEST, MODEL, PREDICTOR, ROOT, Workshop


def test_an_unmodified_triton_client_gets_its_answers_through_the_gateway(workshop: Workshop) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    client = triton.InferenceServerClient(f"127.0.0.1:{workshop.ports['dev']}/{MODEL}")
    assert client.is_server_ready()
    bare = triton.InferenceServerClient(f"127.0.0.1:{workshop.ports['dev']}")
    assert bare.is_server_live() and bare.is_server_ready() and bare.is_model_ready(MODEL)
    assert bare.get_server_metadata()["name"] == "gitops-ml"
    assert bare.get_model_repository_index() == [{"name": MODEL, "state": "READY", "reason": ""}]
    assert client.is_model_ready(MODEL)
    assert client.get_model_metadata(MODEL)["versions"] == ["v1.0.0"]
    assert client.get_model_repository_index() == [{"name": MODEL, "version": "v1.0.0", "state": "READY", "reason": ""}]
    for rows in (1, 5000):
        column = triton.InferInput("x", [rows], "FP64")
        column.set_data_from_numpy(np.linspace(-3, 3, rows))
        answer = client.infer(MODEL, [column]).as_numpy("predict_proba")
        assert answer.shape == (rows, 2)
    assert answer[0, 1] < 0.1 < 0.9 < answer[-1, 1]


def test_a_model_of_one_file_is_served_with_what_git_says_of_it_later(workshop: Workshop) -> None:
    workshop.write("dvc.yaml", f"artifacts:\n  {MODEL}: {{path: behaviour.json, type: model}}\n")
    workshop.write("behaviour.json", "{}")
    workshop.commit("Train the one file")
    workshop.run("register", MODEL, "--version", "v1.0.0", "--push")
    files = {"model.py": PREDICTOR, "manifest.json": json.dumps(MANIFEST), "example.json": json.dumps(EXAMPLE)}
    for name, text in files.items():
        workshop.write(f"serving/{MODEL}/{name}", text)
    shutil.copy(ROOT / "requirements" / "serving.txt", workshop.folder / "serving" / MODEL / "requirements.txt")
    workshop.declare("v1.0.0")
    workshop.sync()
    assert workshop.serving() == "v1.0.0"
    assert workshop.run("plan", "dev").code == 0, "nothing is left to do"


def test_a_header_selects_a_generation_only_if_pin_header_is_declared(workshop: Workshop) -> None:
    workshop.release("v1.0.0")
    workshop.environment(gateway={"port": workshop.ports.setdefault("dev", 0) or _port(workshop), "pin_header": True})
    workshop.declare("v1.0.0")
    workshop.sync()
    generation = workshop.status()["generation"]
    assert _pinned(workshop, generation) == 200
    workshop.environment(gateway={"port": workshop.ports["dev"]})
    workshop.declare("v1.0.0", replicas=2)
    workshop.sync()
    assert _pinned(workshop, "0" * 12) == 200, "without pin_header the header means nothing"


def _port(workshop: Workshop) -> int:
    from tests.ports import free_port

    workshop.ports["dev"] = free_port()
    return workshop.ports["dev"]


def _pinned(workshop: Workshop, generation: str) -> int:
    headers = {"X-Gitops-Ml-Generation": generation}
    request = urllib.request.Request(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)


def test_any_image_is_rolled_out_by_digest_and_health(engine: docker.DockerClient, workshop: Workshop) -> None:
    serve = serve_files(engine, workshop.project)
    workshop.environment(gateway={"port": _port(workshop), "drain": "1s"})
    workshop.declare("v1.0.0", serve=serve)
    workshop.sync()
    with urllib.request.urlopen(f"http://127.0.0.1:{workshop.ports['dev']}/{MODEL}/index.html", timeout=10) as answer:
        assert answer.read() == b"hello\n"
    assert workshop.status()["health"] == "Healthy"
    workshop.declare("v1.0.1", serve=serve | {"health": "/absent"} | {"start_timeout": "3s"})
    workshop.sync(expect=3)
    with urllib.request.urlopen(f"http://127.0.0.1:{workshop.ports['dev']}/{MODEL}/index.html", timeout=10) as answer:
        assert answer.read() == b"hello\n"
