"""`python -m gitops_ml.serving.inspection`: looks into the model in /probe/model, and writes what it saw.

Runs in a short-lived container without a network, with the model's own packages: loading a model may run any code.
Reads /probe/job.json and writes /probe/result.json. `gitops_ml.clients.engine.inspection` makes both.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from gitops_ml.errors import GitopsError, ModelRejected
from gitops_ml.serving.container_limits import limit_threads

FOLDER = Path("/probe")
SHOWN = 3
"""Frames of a traceback that are told: the model's own code is at its end."""


def main(folder: Path = FOLDER) -> int:
    """Do the job in `folder`; 0 when its result is written, whatever it says."""
    limit_threads(os.environ)
    job = json.loads((folder / "job.json").read_bytes())
    result: dict[str, Any] = {"problems": [], "notes": []}
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a model may print
            result |= _do(job, folder / "model")
    except GitopsError as error:
        result["problems"] = [problem_of(error)]
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-SHOWN:])
        print(where, file=sys.stderr)
        rejected = ModelRejected("the model cannot be looked into", why=f"{type(error).__name__}: {error}")
        result["problems"] = [problem_of(rejected)]
    staged = folder / "result.json.part"
    staged.write_text(json.dumps(result))
    staged.replace(folder / "result.json")
    return 0


def problem_of(error: GitopsError) -> dict[str, str]:
    """An error as plain data."""
    return {"what": error.what, "why": error.why, "fix": error.fix}


def _do(job: dict[str, Any], model: Path) -> dict[str, Any]:
    # Imported after `limit_threads`: these import the numeric libraries.
    if job["do"] == "check":
        from gitops_ml.serving.inspection.check import check

        problems, notes = check(model, answer=bool(job["answer"]))
        return {"problems": [problem_of(error) for error in problems], "notes": notes}
    from gitops_ml.serving.inspection.describe import describe

    return describe(model, job).as_dict()


if __name__ == "__main__":
    sys.exit(main())
