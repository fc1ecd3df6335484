"""A clone with its own bare remote and two environments, for the commands that only edit what is declared."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from gitops_ml.cli.main import application
from gitops_ml.clients.files.records import write_record
from gitops_ml.core.records.record import Record, RecordedAttempt, RecordedGeneration, record_path
from gitops_ml.errors import GitopsError
from tests.git.conftest import git

V1, V2 = f"md5:{'1' * 32}.dir", f"md5:{'2' * 32}.dir"
DECLARED = """\
# why this one is here
schema: 1
model: churn
version: {version}  # bumped by CI
digest: {digest}
replicas: 2
env: {{LOG_LEVEL: info}}
"""


def declaration(version: str, digest: str) -> str:
    return DECLARED.format(version=version, digest=digest)


def clone(folder: Path) -> Path:
    """A clone of a bare remote: staging declares churn v2, prod churn v1, and v1 comes from staging after an hour."""
    remote, work = folder / "remote.git", folder / "clone"
    git(folder, "init", "-q", "--bare", "-b", "main", str(remote))
    git(folder, "clone", "-q", str(remote), str(work))
    write(work, "environments/project.yaml", "schema: 1\nname: churn-models\n")
    # Nothing listens there: no test of an edit may need an engine.
    engine = f"engine: unix://{folder}/no-engine.sock\n"
    write(work, "environments/staging/environment.yaml", f"schema: 1\n{engine}gateway: {{port: 9101}}\n")
    write(
        work,
        "environments/prod/environment.yaml",
        f"schema: 1\n{engine}gateway: {{port: 9102}}\npromotion: {{from: staging, soak: 1h}}\n",
    )
    write(work, "environments/staging/models/churn.yaml", declaration("v2.0.0", V2))
    write(work, "environments/prod/models/churn.yaml", declaration("v1.0.0", V1))
    publish(work, "Declare churn")
    return work


def with_model(folder: Path) -> Path:
    """The same, with a model in Git whose version v2.0.0 is tagged and pushed."""
    work = clone(folder)
    write(work, "model.json", "{}\n")
    write(work, "dvc.yaml", "artifacts:\n  churn: {path: model.json, type: model}\n")
    publish(work, "Add the model")
    git(work, "tag", "-a", "-m", "second", "churn@v2.0.0")
    git(work, "push", "-q", "origin", "churn@v2.0.0")
    return work


def shell(work: Path, command: str) -> str:
    """Run a command as it was printed; those of gitops-ml as the installed program. A failure fails the test."""
    done = subprocess.run(command, shell=True, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def next_commands(done: Result) -> list[str]:
    """The commands that a command names as the next ones."""
    return [line.removeprefix("next: ") for line in done.stderr.splitlines() if line.startswith("next: ")]


def write(work: Path, path: str, text: str) -> None:
    target = work / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def publish(work: Path, message: str) -> str:
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", message)
    git(work, "push", "-q", "origin", "HEAD")
    return git(work, "rev-parse", "HEAD")


def attempt(generation: RecordedGeneration, *, age: timedelta, **fields: Any) -> RecordedAttempt:
    """A promoted, Verified attempt of a generation, settled `age` ago."""
    settled = (datetime.now(UTC) - age).isoformat()
    shown = {"strategy": "blue-green", "outcome": "promoted", "verdict": "Verified"} | fields
    return RecordedAttempt(
        id=f"{generation.generation}-{age}",
        started=settled,
        settled=settled,
        generation=generation.generation,
        version=generation.version,
        digest=generation.digest,
        commit=generation.commit,
        **shown,
    )


def generation(version: str, digest: str, commit: str, fingerprint: str | None = None) -> RecordedGeneration:
    return RecordedGeneration(
        generation=fingerprint or version.ljust(12, "0"), version=version, digest=digest, commit=commit
    )


def put_record(work: Path, environment: str, serving: RecordedGeneration, *attempts: RecordedAttempt) -> None:
    """Publish the record of churn: `attempts` newest first; what was last Verified is what serves."""
    promoted = [a for a in attempts if a.verdict == "Verified"]
    record = Record(
        schema=1,
        deployment="churn",
        engine="ENGINE",
        verdict=attempts[0].verdict,
        serving=serving,
        verified=serving if promoted else None,
        attempts=attempts,
    )
    write(work, record_path(environment, "churn"), write_record(record).decode())
    publish(work, "Record")


def cli(work: Path, *words: str) -> Result:
    """A command in that clone; an error of ours is its `exception`."""
    return CliRunner().invoke(application(), [*words, "--repo", str(work)])


def fix_of(work: Path, *words: str) -> str:
    """The fix that a command prints when it fails."""
    done = cli(work, *words)
    if isinstance(done.exception, GitopsError):
        return done.exception.fix
    assert done.exit_code == 1, done.output
    return done.output.partition("\n  fix: ")[2].splitlines()[0]


def finding(work: Path, what: str) -> dict[str, Any]:
    """The first finding of `doctor` about something."""
    findings: list[dict[str, Any]] = json.loads(cli(work, "doctor", "-o", "json").stdout)["findings"]
    return next(f for f in findings if f["what"] == what)


def answer(work: Path, *words: str) -> Any:
    """What a command says as JSON."""
    done = cli(work, *words, "-o", "json")
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)
