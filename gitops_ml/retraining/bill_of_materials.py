"""A trace as a CycloneDX ML-BOM: the model with its card, its data, code, packages and image.

Format: CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from gitops_ml import __version__
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.retraining.attestation import digests
from gitops_ml.retraining.provenance import Trace

_ALGORITHMS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha512": "SHA-512"}
_HOLDOUT = "holdout "


def bill_of_materials(trace: Trace, source: str) -> dict[str, Any]:
    """The bill of a model. The same trace gives the same bill, serial number included.

    Args:
        source: the repository's address, as `source_uri` gives it.
    """
    data = [_component("data", path, digest) for path, digest in trace.made.data.items()]
    inputs = [_component("file", path, digest) for path, digest in trace.made.inputs.items()]
    packages = [_package(name, version) for name, version in trace.packages.items()]
    image = [_component("container", trace.image, trace.image)] if trace.image else []
    model = _model(trace, source, [component["bom-ref"] for component in data])
    needs = {model["bom-ref"]: [component["bom-ref"] for component in (*data, *inputs, *packages)]}
    needs |= {component["bom-ref"]: [model["bom-ref"]] for component in image}
    identity = "\n".join((source, trace.model, trace.version, trace.digest, trace.generation or ""))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "gitops-ml", "version": __version__}]},
            "component": model,
        },
        "components": [*data, *inputs, *packages, *image],
        "dependencies": [{"ref": ref, "dependsOn": sorted(refs)} for ref, refs in needs.items()],
    }


def _model(trace: Trace, source: str, data: list[str]) -> dict[str, Any]:
    task = {"task": trace.task} if trace.task else {}
    datasets = {"datasets": [{"ref": ref} for ref in data]} if data else {}
    measured = [_metric(check) for check in (trace.attempt.checks if trace.attempt else ()) if _is_metric(check)]
    card = {"modelParameters": task | datasets} if task or datasets else {}
    revision = [{"type": "vcs", "url": source, "comment": f"commit {trace.trained.commit}"}] if trace.trained else []
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": trace.model,
        "version": trace.version,
        **_hashes(trace.digest),
        "modelCard": card | ({"quantitativeAnalysis": {"performanceMetrics": measured}} if measured else {}),
        "externalReferences": revision,
        "properties": [{"name": f"gitops-ml:{name}", "value": value} for name, value in _properties(trace)],
    }


def _properties(trace: Trace) -> Iterator[tuple[str, str]]:
    if trace.generation:
        yield "generation", trace.generation
        yield "deployment", f"{trace.environment}/{trace.deployment}"
    if trace.attempt:
        yield "verdict", trace.attempt.verdict
    for path, value in trace.made.params.items():
        yield f"parameter:{path}", str(value)
    for name, value in (trace.learnt or {}).items():
        if value is not None:
            yield f"training:{name}", str(value)


def _component(kind: str, name: str, digest: str) -> dict[str, Any]:
    return {"type": kind, "bom-ref": f"{kind}:{name}", "name": name, **_hashes(digest)}


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _hashes(digest: str) -> dict[str, Any]:
    hashes = [{"alg": _ALGORITHMS[kind], "content": content} for kind, content in digests(digest).items()]
    return {"hashes": hashes} if hashes else {}


def _is_metric(check: CheckResult) -> bool:
    return check.name.startswith(_HOLDOUT) and check.figures.get("candidate") is not None


def _metric(check: CheckResult) -> dict[str, Any]:
    figures = check.figures
    interval = {"lowerBound": str(figures.get("candidate_low")), "upperBound": str(figures.get("candidate_high"))}
    return {
        "type": check.name.removeprefix(_HOLDOUT),
        "value": str(figures["candidate"]),
        "slice": f"{figures.get('rows')} held-out rows",
        "confidenceInterval": interval,
    }
