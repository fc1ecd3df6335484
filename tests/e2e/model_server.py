"""A small server with the part of the Open Inference Protocol that probes use; it can be told to fail."""

from __future__ import annotations

from typing import Any

from tests.e2e.place import Place

MODEL = """
import http.server, json, sys, time

if sys.argv[1] == "broken":
    sys.exit("the model cannot be loaded")
if sys.argv[1] == "hungry":
    held = bytearray(512 * 1024 * 1024)
time.sleep(float(sys.argv[2]))


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        if sys.argv[1].startswith("http:"):
            self.send_response(302)
            self.send_header("Location", sys.argv[1] + self.path)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.say({"name": "m", "versions": ["v1"], "parameters": {"version": "v1", "digest": sys.argv[1]}})

    def do_POST(self):
        if sys.argv[1] == "md5:silent":
            return self.send_error(500)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        rows = body["inputs"][0]["data"]
        self.say({"outputs": [{"name": "predict", "datatype": "FP64", "shape": [len(rows)], "data": rows}]})

    def say(self, answer):
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


def request_of(*rows: float) -> dict[str, Any]:
    """An inference request with these rows."""
    return {"inputs": [{"name": "x", "datatype": "FP64", "shape": [len(rows)], "data": list(rows)}]}


def start_model(place: Place, name: str, digest: str, delay: float = 0.0, restart: str = "unless-stopped") -> str:
    """Start a server in the base image that names `digest`, after `delay` seconds.

    `broken` and `hungry` ones exit; an `http:` address is where a server redirects to.
    """
    place.ensure_network()
    command = ("python", "-c", MODEL, digest, str(delay))
    container = place.engine.create(place.spec(name, command=command, restart=restart))
    place.engine.start(container)
    return container
