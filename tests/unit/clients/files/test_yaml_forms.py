"""A value of the wrong type: the error gives the form that works, and that form is accepted."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.schema import Deployment, Environment
from gitops_ml.errors import InputError

DEPLOYMENT = {"schema": 1, "model": "m", "version": "v1"}
ENVIRONMENT = {"schema": 1, "gateway": {"port": 8080}}
FORMS: list[tuple[type, str, str]] = [
    (Deployment, "version: 1.0", '"1.0"'),
    (Deployment, "version: true", '"true"'),
    (Deployment, "rollout: canary", "{strategy: canary}"),
    (Deployment, "rollout: {steps: 25}", "[25]"),
    (Deployment, "resources: {memory: 512}", "512m"),
    (Deployment, "resources: 512m", "{memory: 512m}"),
    (Deployment, "resources: {cpus: '2'}", "2"),
    (Deployment, "serve: {start_timeout: 90}", "90s"),
    (Deployment, "serve: {start_timeout: 1.5}", "1.5s"),
    (Deployment, "serve: {allow_pickle: 'yes'}", "true"),
    (Deployment, "replicas: '2'", "2"),
    (Deployment, "replicas: [2]", ""),
    (Deployment, "replicas: x", ""),
    (Deployment, "env: {A: 1}", '"1"'),
    (Deployment, "on_failure: revert", "[revert]"),
    (Deployment, "hold: fair week", '{reason: "fair week"}'),
    (Deployment, "verify: {traffic: 0.01}", "{max_bad_increase: 0.01}"),
    (Deployment, "verify: {traffic: {slow: 2}}", "2s"),
    (Deployment, "verify: {holdout: {data: d, metrics: {roc_auc: 0.7}}}", "{min: 0.7}"),
    (Deployment, "verify: {http: {name: a, url: 'http://x'}}", '[{name: a, url: "http://x"}]'),
    (Environment, "gateway: 8080", "{port: 8080}"),
    (Environment, "gateway: {port: '8080'}", "8080"),
    (Environment, "gateway: {port: 8080, drain: 30}", "30s"),
    (Environment, "promotion: staging", "{from: staging}"),
    (Environment, "policy: {max_removals: 50}", "50%"),
    (Environment, "records: our-records", "{branch: our-records}"),
]


def _put(whole: dict[str, Any], written: dict[str, Any], form: Any) -> None:
    """Put `form` in the place of the one value of `written`, however deep that value is."""
    ((key, value),) = ((k, v) for k, v in written.items() if k not in ("data", "port") or len(written) == 1)
    if isinstance(value, dict) and "name" not in value:
        whole[key] = dict(value)
        _put(whole[key], value, form)
    else:
        whole[key] = form


@pytest.mark.parametrize(("kind", "line", "form"), FORMS, ids=[line for _, line, _ in FORMS])
def test_the_error_gives_the_form_that_works(kind: type, line: str, form: str) -> None:
    base: dict[str, Any] = dict(DEPLOYMENT if kind is Deployment else ENVIRONMENT)
    written = yaml.safe_load(line)
    with pytest.raises(InputError) as caught:
        parse(yaml.safe_dump(base | written).encode(), "f.yaml", kind)
    match = re.search(r": write (.*)$", caught.value.why)
    assert (match[1] if match else "") == form
    if form:
        _put(base, written, yaml.safe_load(form))
        parse(yaml.safe_dump(base).encode(), "f.yaml", kind)
