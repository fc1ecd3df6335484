"""Score a stream: a JSON object a line comes in, the same object with its `score` goes out.

The model comes from a channel, and is replaced while the stream flows. `gitops_ml.subscriber` needs nothing else of
gitops-ml: it may be a copy of that one file beside this one.

    python scorer.py http://models:8080/churn/channel /var/lib/scorer < events.jsonl > scores.jsonl

With the signed channel's own name, and a file that lists whose signatures count, it takes nothing else:

    python scorer.py http://models:8080/churn/channel /var/lib/scorer scorer-1 shop/prod/churn allowed_signers
"""

import json
import sys
from pathlib import Path

import pandas as pd
import skops.io

from gitops_ml.subscriber import Subscriber, Trust

# A new model may hold no other types than these: skops refuses it, and the old model goes on.
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "sklearn.tree._tree.Tree", "numpy.dtype"]


def load_model(folder: Path):
    """The estimator in a folder of published files, with the names of its columns. It has scored its own example."""
    manifest = json.loads((folder / "manifest.json").read_text())
    model = skops.io.load(folder / manifest["file"], trusted=TRUSTED)
    columns = [column["name"] for column in manifest["inputs"]]
    example = json.loads((folder / "example.json").read_text())
    model.predict_proba(pd.DataFrame({tensor["name"]: tensor["data"] for tensor in example["inputs"]})[columns])
    return model, columns


def main(channel: str, folder: str, name: str = "", signed: str = "", allowed_signers: str = "allowed_signers") -> None:
    trust = Trust(signed, allowed_signers) if signed else None
    subscriber = Subscriber(channel, folder, load_model, name=name, trust=trust)
    subscriber.start()
    for line in sys.stdin:
        event = json.loads(line)
        loaded = subscriber.wait()  # one model for the whole event, whatever is published meanwhile
        model, columns = loaded.model
        try:
            event["score"] = float(model.predict_proba(pd.DataFrame([event])[columns])[0, 1])
            subscriber.count(scored=1)
        except Exception as error:
            event["error"] = f"{type(error).__name__}: {error}"
            subscriber.count(scored=1, errors=1)
        event["version"] = loaded.version
        print(json.dumps(event), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
