"""`save_model` against those of MLflow and BentoML for scikit-learn: files, bytes, seconds, what is known afterwards.

All three run in one scratch environment, in turns, on one forest that is fitted to the wine data of scikit-learn. The
requirements are given to `gitops_ml.save_model` as a lock, so that no package index is asked within the time. MLflow
has to be told of a type that its skops file holds; it refuses the forest otherwise.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROUNDS = 5
PACKAGES = ("mlflow-skinny", "bentoml", "httpx")
CALLS = {
    "gitops_ml": 'save_model(model, folder, X, y, name="wine", requirements=lock)',
    "mlflow": "mlflow.sklearn.save_model(model, folder, signature=infer_signature(X, model.predict(X)), "
    "input_example=X[:1], skops_trusted_types=['sklearn.tree._tree.Tree'])",
    "bentoml": 'bentoml.sklearn.save_model("wine", model)',
}
KNOWN = {
    "gitops_ml": "columns, types, classes, outputs, an example that was asked, histograms, a lock with hashes",
    "mlflow": "columns, types, the output of predict, an example, versions of direct requirements",
    "bentoml": "the methods, versions of the framework",
}
PROGRAM = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
tool, folder, lock = sys.argv[1], sys.argv[2], sys.argv[3]
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
X, y = load_wine(return_X_y=True, as_frame=True)
model = RandomForestClassifier(100, random_state=0).fit(X, y)
if tool == "gitops_ml":
    from gitops_ml import save_model
elif tool == "mlflow":
    import mlflow.sklearn
    from mlflow.models import infer_signature
else:
    import bentoml
begun = time.perf_counter()
{call}
seconds = time.perf_counter() - begun
place = Path(os.environ["BENTOML_HOME"], "models", "wine") if tool == "bentoml" else Path(folder)
files = [path for path in place.rglob("*") if path.is_file() and path.name != "latest"]
print(json.dumps({{"seconds": seconds, "files": len(files), "bytes": sum(path.stat().st_size for path in files)}}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="gitops-ml-bench-save-") as name:
        folder = Path(name)
        python = environment(folder)
        results: dict[str, list[dict[str, float]]] = {tool: [] for tool in CALLS}
        for number in range(ROUNDS):
            for tool, call in CALLS.items():
                results[tool].append(measure(python, folder, f"{tool}-{number}", tool, call))
    print("| | lines | files | KiB | seconds | known afterwards |")
    print("|---|---|---|---|---|---|")
    for tool, rounds in results.items():
        seconds = statistics.median(each["seconds"] for each in rounds)
        print(
            f"| {tool} | 1 | {rounds[0]['files']} | {rounds[0]['bytes'] / 1024:.0f} | {seconds:.1f} | {KNOWN[tool]} |"
        )


def environment(folder: Path) -> str:
    """Make an environment with all three, at the versions of this repository's lock where it has them."""
    uv = Path(sys.executable).with_name("uv")
    python = folder / "venv" / "bin" / "python"
    lock = ROOT / "requirements" / "serving.txt"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", python]
    subprocess.run([*install, "-r", lock], check=True)
    subprocess.run([*install, "--constraints", lock, "joblib", "packaging", *PACKAGES], check=True)
    return str(python)


def measure(python: str, folder: Path, name: str, tool: str, call: str) -> dict[str, float]:
    """Save the model once, in a process of its own; imports are not in the time."""
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "BENTOML_HOME": str(folder / f"{name}-home"),
        "HOME": str(folder),
    }
    command = [
        python,
        "-c",
        PROGRAM.format(call=call),
        tool,
        str(folder / name),
        str(ROOT / "requirements" / "serving.txt"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=300)
    if done.returncode:
        sys.exit(f"{tool} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


if __name__ == "__main__":
    main()
