"""A trace as an in-toto statement with SLSA provenance: what a model is, and what `dvc repro` made it from.

Formats: in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) and SLSA
Provenance v1 (https://slsa.dev/spec/v1.0/provenance). The statement is not signed.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from gitops_ml.errors import InputError
from gitops_ml.retraining.provenance import Step, Trace

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD = "https://dvc.org/doc/command-reference/repro"
"""What made the model, and how its parameters and dependencies are meant."""
_DIGEST = re.compile(r"(md5|sha1|sha256|sha512):([0-9a-f]+)")


def statement(trace: Trace, source: str) -> dict[str, Any]:
    """The statement about a model, and about its image if that is known.

    The builder is the author of the commit that holds the model: nobody else says how it was made. Digests by md5 are
    DVC's: of a file's bytes, or of its manifest of a folder.

    Args:
        source: the repository's address, as `source_uri` gives it.

    Raises `InputError` where the version does not resolve, and where no stage of DVC made it.
    """
    if trace.trained is None or not trace.made.stages:
        raise InputError(
            f"{trace.model} {trace.version} has no provenance",
            why=trace.missing or "no stage in a dvc.lock made it, so Git does not say from what it was made",
            fix=f"gitops-ml trace {trace.model}@{trace.version} -o cyclonedx, for what is known",
        )
    made, trained = trace.made, trace.trained
    image = [{"name": trace.image, "digest": digests(trace.image)}] if trace.image and digests(trace.image) else []
    repository = {"uri": f"git+{source}@{trained.commit}", "digest": {"gitCommit": trained.commit}}
    return {
        "_type": STATEMENT,
        "subject": [{"name": f"{trace.model}@{trace.version}", "digest": digests(trace.digest)}, *image],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": {
                    "repository": source,
                    "revision": trained.commit,
                    "stages": list(made.stages),
                    "parameters": {key: _plain(value) for key, value in made.params.items()},
                },
                "resolvedDependencies": [
                    repository,
                    *(_dependency(path, digest, source, trained) for path, digest in (made.inputs | made.data).items()),
                ],
            },
            "runDetails": {
                "builder": {"id": _builder(trained)},
                "metadata": {"invocationId": trained.commit, "finishedOn": rfc3339(trained)},
            },
        },
    }


def digests(digest: str) -> dict[str, str]:
    """A digest by its algorithm; empty for what is none, such as an ETag of a store."""
    match = _DIGEST.fullmatch(digest)
    return {match[1]: match[2]} if match else {}


def source_uri(url: str) -> str:
    """A remote's address as a URI without user names and passwords; an scp-like address is one of SSH."""
    if "://" in url:
        return re.sub(r"://[^/@]*@", "://", url)
    scp = re.fullmatch(r"(?:[^@/]+@)?([^:/]+):/?(.+)", url)
    if scp:
        return f"ssh://{scp[1]}/{scp[2]}"
    return PurePosixPath(url).as_uri() if url.startswith("/") else url


def rfc3339(step: Step) -> str:
    """When a commit was made, to the minute."""
    return datetime.strptime(step.at, "%Y-%m-%d %H:%M UTC").strftime("%Y-%m-%dT%H:%M:%SZ")


def _dependency(path: str, digest: str, source: str, trained: Step) -> dict[str, Any]:
    named = {"name": path, "uri": f"git+{source}@{trained.commit}#{path}"}
    return named | ({"digest": digests(digest)} if digests(digest) else {})


def _builder(trained: Step) -> str:
    address = re.search(r"<([^<>\s]+@[^<>\s]+)>$", trained.author)
    return f"mailto:{address[1]}" if address else "urn:unknown"


def _plain(value: Any) -> Any:
    """A parameter as JSON can hold it: YAML also has NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
