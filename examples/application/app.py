"""An application with a model inside. It speaks its own JSON, as any application does, and needs no package.

POST /score {"patients": [{"radius": 14.1, "texture": 19.2}]} answers {"results": [{"benign": 0.62}]}.
"""

import json
import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODEL = json.loads(Path(__file__).with_name("model.json").read_text())


def benign(patient):
    """The probability that a tumour is benign, by the logistic regression that train.py wrote."""
    columns = {"radius": "mean radius", "texture": "mean texture"}
    score = MODEL["intercept"] + sum(MODEL["weights"][columns[name]] * patient[name] for name in columns)
    return 1 / (1 + math.exp(-score))


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is two packets, and the second would wait 40 ms

    def do_GET(self):
        self.answer(200 if self.path == "/healthz" else 404, {"status": "ok"})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            self.answer(200, {"results": [{"benign": benign(patient)} for patient in request["patients"]]})
        except (KeyError, TypeError, OverflowError) as error:
            self.answer(400, {"error": f"{type(error).__name__}: {error}"})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", 8000), Application).serve_forever()
