"""The configuration of Renovate in the docs: it finds the versions in our files, and the tags that are versions."""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path

import jsonschema_rs
import pytest

from gitops_ml.clients.files.yaml_edit import set_fields
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.edits import declaration_path, new_declaration
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.versions.tags import tag_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/pull-requests.md").read_text()
MANAGER, TASKS = (json.loads(text) for text in re.findall(r"```json\n(.+?)```", PAGE, re.DOTALL))
DIGEST = f"md5:{'1' * 32}"


def found(text: str) -> re.Match[str] | None:
    """Where Renovate, whose expressions write `(?<name>`, would find a version."""
    (pattern,) = MANAGER["customManagers"][0]["matchStrings"]
    return re.search(pattern.replace("(?<", "(?P<"), text)


def version_of(tag: str, model: str) -> str | None:
    template = MANAGER["customManagers"][0]["extractVersionTemplate"]
    match = re.search(template.replace("{{{depName}}}", model).replace("(?<", "(?P<"), tag)
    return match["version"] if match else None


def test_renovate_takes_each_alone_and_both() -> None:
    published = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/renovate.json")
    schema = jsonschema_rs.validator_for(json.loads(Path(str(published)).read_text()))
    for settings in (MANAGER, TASKS, MANAGER | TASKS):
        schema.validate(settings)


def test_the_version_of_a_declaration_is_found_and_replaced() -> None:
    text = set_fields(new_declaration("churn", "v1.2.0", DIGEST), {"hold": {"reason": "version: v9.9.9"}}, "churn.yaml")
    match = found(text)
    assert match and (match["depName"], match["currentValue"]) == ("churn", "v1.2.0")
    start, end = match.span("currentValue")
    after = parse(f"{text[:start]}v1.3.0{text[end:]}".encode(), "churn.yaml", Deployment)
    assert (after.version, after.digest) == ("v1.3.0", DIGEST)


@pytest.mark.parametrize("version", ["main", "'1234567'", "models-2026"])
def test_a_version_that_is_no_tag_is_left_alone(version: str) -> None:
    assert found(f"schema: 1\nmodel: churn\nversion: {version}\n") is None


def test_the_files_are_those_of_the_environment() -> None:
    (pattern,) = MANAGER["customManagers"][0]["managerFilePatterns"]
    expression = re.compile(pattern.strip("/"))
    assert expression.search(declaration_path("dev", "churn"))
    assert not expression.search(declaration_path("prod", "churn"))
    assert not expression.search("environments/dev/records/churn.yaml")


def test_only_registrations_of_the_model_are_versions() -> None:
    assert version_of(tag_name("churn", "v1.3.0"), "churn") == "v1.3.0"
    assert version_of(tag_name("team/churn", "v1.3.0-rc.1"), "team/churn") == "v1.3.0-rc.1"
    for tag in ("churn@v1.3.0!", "churn@v1.3.0!#2", "churn#prod#3", "churn@deprecated", "other-churn@v9.0.0", "v9.0.0"):
        assert version_of(tag, "churn") is None, tag


def test_the_task_of_a_renovate_of_one_s_own_names_the_deployment() -> None:
    (command,) = TASKS["postUpgradeTasks"]["commands"]
    pattern, replacement = re.findall(r"replace '(.+?)' '(.*?)' packageFile", command)[0]
    deployment = re.sub(pattern, replacement, declaration_path("dev", "churn-eu"))
    filled = re.sub(r"\{\{\{replace.+?\}\}\}", deployment, command).replace("{{{newValue}}}", "v1.3.0")
    assert filled == "gitops-ml bump dev churn-eu v1.3.0"
    (allowed,) = json.loads(re.findall(r'"allowedCommands": (\[.+?\])`', PAGE)[0])
    assert re.search(allowed, filled) and not re.search(allowed, f"{filled}; id")
