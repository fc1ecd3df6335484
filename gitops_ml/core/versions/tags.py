"""What a version of a model is, read from Git tags alone.

The grammar and its meaning are GTO's (its `constants.tag_re` and `Artifact`/`Version.is_active`), so that
`gto show`, DVC Studio and this tool agree on which versions exist and which of them were taken back. It is
written anew, and not imported from gto, because gto reads one tag at a time: `gto show` takes 9 s for 1,000
tags.

    <model>@v<semver>            registers a version        <model>@v<semver>!    deregisters it
    <model>@deprecated           retires the whole model    <model>#<stage>       a stage: never desired state
    here each may end in #<counter>;  a model of path/to/dvc.yaml is named path/to:model, and path/to=model in
    its tags
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from gitops_ml.errors import InputError, VersionNotFound, VersionRefused

Action = Literal["register", "deregister", "assign", "unassign", "deprecate", "create"]
Step = Literal["major", "minor", "patch"]

_NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
_SEMVER = (
    r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
    r"(?:-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
_TAG = re.compile(
    rf"(?P<model>(?:[a-zA-Z0-9-_./]+=)?{_NAME})"
    rf"(?:(?:#(?P<stage>{_NAME})|@(?P<version>v{_SEMVER}))(?P<cancel>!?)|@(?P<word>deprecated|created))"
    r"(?:#(?P<counter>[0-9]+))?",
    re.ASCII,
)
_VERSION = re.compile(f"v{_SEMVER}", re.ASCII)
_MODEL = re.compile(rf"(?:(?P<folder>[a-zA-Z0-9-_./]+):)?(?P<name>{_NAME})", re.ASCII)

FIRST_VERSION = "v0.0.1"


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """One Git tag.

    `created` is the tagger's date (a lightweight tag's: the commit's), in seconds since the epoch.
    """

    name: str
    commit: str
    created: int
    annotated: bool
    tagger: str = ""


class TagName(msgspec.Struct, frozen=True, kw_only=True):
    """What the name of a tag says."""

    model: str
    action: Action
    version: str | None = None
    stage: str | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One registered version of a model.

    `active` is False once a later tag deregistered it. `created` is that of the registering tag, in epoch
    seconds.
    """

    model: str
    version: str
    commit: str
    tag: str
    created: int
    active: bool
    tagger: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of one model, the highest first; `deprecated` retires every one of them."""

    name: str
    versions: tuple[Version, ...] = ()
    deprecated: bool = False
    lightweight: tuple[str, ...] = ()

    def find(self, version: str) -> Version | None:
        return next((v for v in self.versions if v.version == version), None)

    def latest(self) -> Version | None:
        """The highest version that was not taken back, pre-releases included, as GTO's `latest` has it."""
        return next((v for v in self.versions if v.active), None) if not self.deprecated else None


def parse_tag(name: str) -> TagName | None:
    """What the tag `name` says, or None when it is no GTO tag."""
    match = _TAG.fullmatch(name)
    if match is None:
        return None
    model = match["model"].replace("=", ":")
    if match["word"]:
        return TagName(model=model, action="deprecate" if match["word"] == "deprecated" else "create")
    if match["version"]:
        action: Action = "deregister" if match["cancel"] else "register"
        return TagName(model=model, action=action, version=match["version"])
    return TagName(model=model, action="unassign" if match["cancel"] else "assign", stage=match["stage"])


def tag_name(model: str, version: str) -> str:
    """The tag that registers `version` of `model`."""
    return f"{model.replace(':', '=')}@{version}"


def is_version(text: str) -> bool:
    """Whether `text` is `v<semver>`."""
    return _VERSION.fullmatch(text) is not None


def check_version(text: str) -> str:
    """`text` itself. Raises InputError when it is not `v<semver>`."""
    if is_version(text):
        return text
    hint = f"v{text}" if is_version(f"v{text}") else "v1.2.0"
    raise InputError(
        f"'{text}' is no version", why="versions are v<major>.<minor>.<patch>", fix=f"write it like {hint}"
    )


def split_model(model: str) -> tuple[str, str]:
    """The folder of the dvc.yaml that declares `model` ("" for the root) and its name there.

    Raises InputError for what GTO would not take as a name.
    """
    match = _MODEL.fullmatch(model)
    if match is None:
        raise InputError(
            f"'{model}' is no model name",
            why="letters, digits, '-', '_' and '/', starting and ending with a letter or a digit",
            fix="use the name under artifacts: in dvc.yaml, as <folder>:<name> where that is not the root's",
        )
    return (match["folder"] or "").strip("/"), match["name"]


def order(version: str) -> tuple[object, ...]:
    """Sort key of `v<semver>`, by semver.org's rule 11; build metadata, without rank there, breaks ties as
    text.
    """
    core, _, build = version[1:].partition("+")
    numbers, _, pre = core.partition("-")
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".") if pre)
    return (*(int(n) for n in numbers.split(".")), not pre, parts, build)


def read_tags(tags: Iterable[Tag]) -> dict[str, Model]:
    """Every model that the tags name. Lightweight tags say nothing (GTO skips them); they are kept for
    messages.

    The latest event decides; of events in the same second a deregistration wins over a registration, and
    anything wins over a deprecation, as in GTO.
    """
    events: dict[str, list[tuple[TagName, Tag]]] = {}
    light: dict[str, list[str]] = {}
    for tag in tags:
        said = parse_tag(tag.name)
        if said is None:
            continue
        events.setdefault(said.model, [])
        if tag.annotated:
            events[said.model].append((said, tag))
        else:
            light.setdefault(said.model, []).append(tag.name)
    return {name: _model(name, events[name], light.get(name, [])) for name in sorted(events)}


def _model(name: str, events: list[tuple[TagName, Tag]], lightweight: list[str]) -> Model:
    registered: dict[str, Tag] = {}
    last: dict[str, tuple[int, bool]] = {}
    newest, deprecated = -1, False
    for said, tag in sorted(events, key=lambda e: (e[1].created, e[0].action != "deprecate")):
        if tag.created >= newest:
            newest, deprecated = tag.created, said.action == "deprecate"
        if said.version is None:
            continue
        if said.action == "register":
            registered.setdefault(said.version, tag)
        last[said.version] = max(last.get(said.version, (-1, False)), (tag.created, said.action == "deregister"))
    versions = [
        Version(
            model=name,
            version=version,
            commit=tag.commit,
            tag=tag.name,
            created=tag.created,
            active=not last[version][1],
            tagger=tag.tagger,
        )
        for version, tag in registered.items()
    ]
    versions.sort(key=lambda v: order(v.version), reverse=True)
    return Model(name=name, versions=tuple(versions), deprecated=deprecated, lightweight=tuple(lightweight))


def choose(models: Mapping[str, Model], model: str, version: str) -> Version | None:
    """The registered version that `version` (`v<semver>` or `latest`) names; None when no tag names it.

    Raises:
        VersionRefused: it was deregistered, or the model deprecated.
        VersionNotFound: `latest` of a model without versions, or a tag that is not annotated.
    """
    known = models.get(model, Model(name=model))
    wanted = known.latest() if version == "latest" else known.find(version)
    if known.deprecated and (wanted or version == "latest"):
        raise VersionRefused(
            f"{model} {version} may not be used",
            why=f"the model was deprecated (tag {tag_name(model, 'deprecated')})",
            fix=f"register a new version of it: gitops-ml register {model}",
        )
    if wanted is None and version == "latest":
        raise VersionNotFound(
            f"{model} has no version that could be the latest",
            why="no annotated tag of the form " + tag_name(model, "v<semver>"),
            fix=f"gitops-ml register {model}",
        )
    if wanted is None and tag_name(model, version) in known.lightweight:
        tag = tag_name(model, version)
        raise VersionNotFound(
            f"{model} {version} is not registered",
            why=f"its tag {tag} is lightweight; GTO reads annotated tags only",
            fix=f"git tag -d {tag}, then gitops-ml register {model} --version {version}",
        )
    if wanted is not None and not wanted.active:
        others = [v.version for v in known.versions if v.active][:3]
        raise VersionRefused(
            f"{model} {version} may not be used",
            why=f"it was deregistered (tag {tag_name(model, version)}!)",
            fix=f"choose another: {', '.join(others)}" if others else f"gitops-ml register {model}",
        )
    return wanted


def next_version(model: Model, step: Step | None) -> str:
    """The version after the highest one ever registered, so that no deregistered name is used twice.

    `step` None means patch. A first version is `v0.0.1`, as in GTO; a pre-release is completed by its own
    release.
    """
    if not model.versions:
        return FIRST_VERSION
    highest = model.versions[0].version
    numbers, _, pre = highest[1:].partition("+")[0].partition("-")
    major, minor, patch = (int(n) for n in numbers.split("."))
    if step == "major":
        return f"v{major}.0.0" if pre and minor == patch == 0 else f"v{major + 1}.0.0"
    if step == "minor":
        return f"v{major}.{minor}.0" if pre and patch == 0 else f"v{major}.{minor + 1}.0"
    return f"v{major}.{minor}.{patch}" if pre else f"v{major}.{minor}.{patch + 1}"
