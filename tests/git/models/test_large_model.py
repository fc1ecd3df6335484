"""A model may be larger than the memory: its bytes go from DVC's cache into an image piece by piece."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.git.conftest import git

SIZE = 96 << 20
MORE = 48 << 20
"""Bytes of memory of its own that the process may take beyond what it has after its imports."""

CHILD = """
import resource, sys
from pathlib import Path
from gitops_ml.adoption.stored_model import stored_model
from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.resolution import read_large
from gitops_ml.clients.engine.building.image_requirements import checked_requirements
from gitops_ml.clients.git.repository import Repository
from gitops_ml.serving.building.model_layer import model_archive

status = Path("/proc/self/status").read_text()
taken = int(status.partition("VmData:")[2].split()[0]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (taken + int(sys.argv[2]),) * 2)
with Repository.open(Path(sys.argv[1])) as repo:
    files = read_large(repo, resolve_path(repo, repo.resolve("HEAD"), "model.pkl"))
stored = stored_model("model.pkl", files)
manifest = b'{"name": "m", "format": "joblib", "file": "model.pkl", "inputs": [{"name": "a", "datatype": "FP64"}]}'
lock = f"scikit-learn=={stored.trained[0]} --hash=sha256:{'0' * 64}\\n".encode()
artifact = {**files, "manifest.json": manifest, "requirements.txt": lock}
checked_requirements("m", artifact)
runtime = {"RootFS": {"Layers": []}, "Architecture": "amd64", "Os": "linux", "Created": "", "Config": {}}
print(stored.trained[0], sum(map(len, model_archive(artifact.items(), runtime, "m:1", {}))))
"""


def test_a_model_of_dvc_becomes_an_image_without_being_held_in_memory(tmp_path: Path) -> None:
    # The state of a nearest-neighbours model: the version of scikit-learn follows a large array.
    content = pickle.dumps({"_fit_X": np.ones(SIZE // 8), "_sklearn_version": "1.6.1"})
    digest = hashlib.md5(content).hexdigest()
    git(tmp_path, "init", "-q", "-b", "main")
    cached = tmp_path / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(content)
    (tmp_path / ".dvc" / "config").write_text("")
    outs = f"outs:\n- md5: {digest}\n  size: {len(content)}\n  hash: md5\n  path: model.pkl\n"
    (tmp_path / "model.pkl.dvc").write_text(outs)
    git(tmp_path, "add", "model.pkl.dvc", ".dvc/config")
    git(tmp_path, "commit", "-qm", "Add a model")
    child = [sys.executable, "-c", CHILD, str(tmp_path), str(MORE)]
    done = subprocess.run(child, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    trained, size = done.stdout.split()
    assert trained == "1.6.1" and int(size) > len(content) > SIZE
