"""Keys, defaults, examples, commands and links in the docs are checked against the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from gitops_ml.cli.main import MODULES
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.schema import Deployment, Environment, Project
from gitops_ml.core.verification.holdout_metrics import METRICS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "environments.md").read_text()
KINDS: dict[str, type[msgspec.Struct]] = {
    "project.yaml": Project,
    "environment.yaml": Environment,
    "models/<deployment>.yaml": Deployment,
}
SECTIONS = dict(re.findall(r"^## `([^`]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def keys_of(kind: type[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key that holds a value, by its dotted path, with its default as YAML would say it."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        name = f"{prefix}{field.encode_name}"
        inner, kind = _struct_in(field.type), type(field.type)
        if inner is None or kind in _MANY:
            yield name, _default(field)
        if inner is not None:
            yield from keys_of(inner, f"{name}{_MANY.get(kind, '.')}")


_MANY: dict[type[inspect.Type], str] = {inspect.DictType: ".<metric>.", inspect.VarTupleType: "[]."}


def _struct_in(found: inspect.Type) -> type[Any] | None:
    if isinstance(found, inspect.UnionType):
        return next((s for t in found.types if (s := _struct_in(t))), None)
    if isinstance(found, inspect.DictType):
        return _struct_in(found.value_type)
    if isinstance(found, inspect.VarTupleType):
        return _struct_in(found.item_type)
    return found.cls if isinstance(found, inspect.StructType) else None


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return msgspec.json.encode(value).decode().replace('"', "").replace(",", ", ")


def rows_of(section: str) -> list[tuple[str, str]]:
    """The first two columns of a section's table."""
    rows = re.findall(r"^\| `([^`]+)` \| `?([^`|]+?)`? \|", section, re.MULTILINE)
    return [(key, default) for key, default in rows]


@pytest.mark.parametrize("file", KINDS)
def test_every_key_is_described_with_its_default(file: str) -> None:
    assert rows_of(SECTIONS[file]) == list(keys_of(KINDS[file]))


@pytest.mark.parametrize("file", KINDS)
def test_the_examples_are_accepted(file: str) -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", SECTIONS[file], re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        assert isinstance(parse(example.encode(), file, KINDS[file]), KINDS[file])


def test_every_metric_is_named() -> None:
    assert [name for name in METRICS if f"`{name}`" not in SECTIONS["models/<deployment>.yaml"]] == []


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], key=str)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_have_targets(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(("http://", "https://")):
            continue
        other = page if not path else page.parent / path
        assert other.exists(), f"{page.name} links to {target}"
        if anchor and other.suffix == ".md":
            assert anchor in _anchors(other.read_text()), f"{page.name} links to {target}"


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_command_in_the_docs_exists() -> None:
    known = {command for commands in MODULES.values() for command in commands}
    for page in PAGES:
        code = re.findall(r"^```.*?^```|`[^`\n]+`", page.read_text(), re.MULTILINE | re.DOTALL)
        for command in re.findall(r"\bgitops-ml ([a-z]+)\b", "\n".join(code)):
            assert command in known, f"{page.name} names `gitops-ml {command}`"


def test_the_map_of_the_code_names_what_exists() -> None:
    """The table in CONTRIBUTING.md that says where to look."""
    table = re.findall(r"^\| [^|]+ \| (.+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    paths = [path for cell in table for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?|\w+\.py)`", cell)]
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / "gitops_ml" / path).exists()] == []


def test_the_tests_that_may_be_skipped_exist() -> None:
    """CI lets those pass that docs/not-verified.md names; a stale name would let none pass."""
    page = (ROOT / "docs" / "not-verified.md").read_text()
    for file, function in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?", page):
        assert (ROOT / file).exists(), file
        assert not function or f"def {function}(" in (ROOT / file).read_text(), function
