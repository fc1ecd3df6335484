"""The versions of models, read from Git tags alone.

Grammar and meaning are GTO's (`constants.tag_re` and `Artifact`/`Version.is_active` in gto), so that `gto show`, DVC
Studio and this tool agree on which versions exist and which were deregistered. They are written here again because gto
reads one tag at a time: `gto show` takes 9 s for 1,000 tags.

    <model>@v<semver>            registers a version        <model>@v<semver>!    deregisters it
    <model>@deprecated           retires the whole model    <model>#<stage>       puts a commit into a stage
                                                            <model>#<stage>!      takes it out

A stage is shown and is never desired state. Each may end in #<counter>. A model of path/to/dvc.yaml is named
path/to:model, and path/to=model in its tags.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from gitops_ml.errors import InputError, VersionNotFound, VersionRefused

Action = Literal["register", "deregister", "assign", "unassign", "deprecate", "create"]
Increment = Literal["major", "minor", "patch"]

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
    """One Git tag. `created` is the tagger's date, or a lightweight tag's commit date, in seconds since the epoch."""

    name: str
    commit: str
    created: int
    annotated: bool
    tagger: str = ""


class TagName(msgspec.Struct, frozen=True, kw_only=True):
    """The meaning of a tag's name."""

    model: str
    action: Action
    version: str | None = None
    stage: str | None = None
    counter: int = 0


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One registered version of a model.

    `active` is False once a later tag deregistered it. `created` is the registering tag's, in seconds since the epoch.
    `stages` are GTO's stages that it is in now, sorted.
    """

    model: str
    version: str
    commit: str
    tag: str
    created: int
    active: bool
    tagger: str = ""
    stages: tuple[str, ...] = ()


class ModelVersions(msgspec.Struct, frozen=True, kw_only=True):
    """All versions of one model, the highest first. `deprecated` retires all of them.

    `lightweight` names its lightweight tags, which GTO ignores.
    """

    name: str
    versions: tuple[Version, ...] = ()
    deprecated: bool = False
    lightweight: tuple[str, ...] = ()

    def find(self, version: str) -> Version | None:
        """The version of this name; None if it was never registered."""
        return next((v for v in self.versions if v.version == version), None)

    def latest(self) -> Version | None:
        """The highest version that is not deregistered, pre-releases included, as GTO's `latest`."""
        return next((v for v in self.versions if v.active), None) if not self.deprecated else None


def parse_tag(name: str) -> TagName | None:
    """Parse the name of a tag. None if it is no GTO tag."""
    match = _TAG.fullmatch(name)
    if match is None:
        return None
    model, counter = match["model"].replace("=", ":"), int(match["counter"] or 0)
    if match["word"]:
        return TagName(model=model, action="deprecate" if match["word"] == "deprecated" else "create")
    if match["version"]:
        action: Action = "deregister" if match["cancel"] else "register"
        return TagName(model=model, action=action, version=match["version"])
    action = "unassign" if match["cancel"] else "assign"
    return TagName(model=model, action=action, stage=match["stage"], counter=counter)


def tag_name(model: str, version: str) -> str:
    """The name of the tag that registers `version` of `model`."""
    return f"{model.replace(':', '=')}@{version}"


def is_version(text: str) -> bool:
    """Whether `text` is `v<semver>`."""
    return _VERSION.fullmatch(text) is not None


def check_version(text: str) -> str:
    """Return `text`. Raises InputError if it is not `v<semver>`."""
    if is_version(text):
        return text
    hint = f"v{text}" if is_version(f"v{text}") else "v1.2.0"
    raise InputError(
        f"'{text}' is no version", why="versions are v<major>.<minor>.<patch>", fix=f"write it like {hint}"
    )


def split_model(model: str) -> tuple[str, str]:
    """Split `model` into the folder of the dvc.yaml that declares it ("" for the root) and its name there.

    Raises InputError for a name that GTO would not accept.
    """
    match = _MODEL.fullmatch(model)
    if match is None:
        raise InputError(
            f"'{model}' is no model name",
            why="letters, digits, '-', '_' and '/', starting and ending with a letter or a digit",
            fix="use the name under artifacts: in dvc.yaml, as <folder>:<name> if that dvc.yaml is not in the root",
        )
    folder, name = (match["folder"] or "").strip("/"), match["name"]
    plain = "/".join(part for part in folder.split("/") if part not in ("", "."))
    # DVC takes `sub/dvc.yaml:name` too, and GTO writes `sub=name` into the tag.
    plain = plain.removesuffix("dvc.yaml").rstrip("/") if posixpath.basename(plain) == "dvc.yaml" else plain
    if plain != folder or ".." in plain.split("/"):
        raise InputError(
            f"'{model}' is no model name",
            why="the folder of a model's dvc.yaml is a plain path below the repository's root",
            fix=f"write {plain}:{name}" if plain and ".." not in plain else f"write {name}, or <folder>:{name}",
        )
    return folder, name


def version_order(version: str) -> tuple[object, ...]:
    """The sort key of `v<semver>`, by rule 11 of semver.org. Build metadata, which has no rank there, breaks ties."""
    core, _, build = version[1:].partition("+")
    numbers, _, pre = core.partition("-")
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".") if pre)
    return (*(int(n) for n in numbers.split(".")), not pre, parts, build)


def read_tags(tags: Iterable[Tag]) -> dict[str, ModelVersions]:
    """All models that the tags name, by name. Lightweight tags count for nothing, as in GTO; messages name them.

    The latest event decides. Of events in the same second, a deregistration wins over a registration, and anything wins
    over a deprecation, as in GTO.
    """
    events: dict[str, list[tuple[TagName, Tag]]] = {}
    lightweight: dict[str, list[str]] = {}
    for tag in tags:
        meaning = parse_tag(tag.name)
        if meaning is None:
            continue
        events.setdefault(meaning.model, [])
        if tag.annotated:
            events[meaning.model].append((meaning, tag))
        else:
            lightweight.setdefault(meaning.model, []).append(tag.name)
    return {name: _model(name, events[name], lightweight.get(name, [])) for name in sorted(events)}


def _model(name: str, events: list[tuple[TagName, Tag]], lightweight: list[str]) -> ModelVersions:
    registered: dict[str, Tag] = {}
    last: dict[str, tuple[int, bool]] = {}
    newest, deprecated = -1, False
    for meaning, tag in sorted(events, key=lambda e: (e[1].created, e[0].action != "deprecate")):
        if tag.created >= newest:
            newest, deprecated = tag.created, meaning.action == "deprecate"
        if meaning.version is None:
            continue
        if meaning.action == "register":
            registered.setdefault(meaning.version, tag)
        event = (tag.created, meaning.action == "deregister")
        last[meaning.version] = max(last.get(meaning.version, (-1, False)), event)
    active = {version: tag.commit for version, tag in registered.items() if not last[version][1]}
    inactive = {tag.commit for tag in registered.values()} - set(active.values())
    staged = {} if deprecated else _staged_commits(events, inactive)
    versions = [
        Version(
            model=name,
            version=version,
            commit=tag.commit,
            tag=tag.name,
            created=tag.created,
            active=version in active,
            tagger=tag.tagger,
            stages=tuple(stage for stage, commit in staged.items() if commit == active.get(version)),
        )
        for version, tag in registered.items()
    ]
    versions.sort(key=lambda v: version_order(v.version), reverse=True)
    return ModelVersions(name=name, versions=tuple(versions), deprecated=deprecated, lightweight=tuple(lightweight))


def _staged_commits(events: list[tuple[TagName, Tag]], inactive: set[str]) -> dict[str, str]:
    """The commit that each stage's latest assignment names, by stage, sorted, as in GTO's `Artifact.get_vstages`.

    An assignment counts while no later tag takes its commit out of the stage. In the same second, the counters of the
    tags decide.

    Args:
        inactive: commits whose versions were all deregistered: their assignments do not count.
    """
    latest: dict[tuple[str, str], tuple[int, int, bool]] = {}
    for meaning, tag in events:
        if meaning.stage is not None and tag.commit not in inactive:
            event = (tag.created, meaning.counter, meaning.action == "assign")
            key = (meaning.stage, tag.commit)
            latest[key] = max(latest.get(key, event), event)
    assigned = sorted((stage, event, commit) for (stage, commit), event in latest.items() if event[2])
    return {stage: commit for stage, _, commit in assigned}


def choose_version(models: Mapping[str, ModelVersions], model: str, version: str) -> Version | None:
    """The registered version for `version`, which is `v<semver>` or `latest`; None if no tag registers it.

    Raises:
        VersionRefused: it was deregistered, or the model was deprecated.
        VersionNotFound: `latest` of a model without versions, or a tag that is not annotated.
    """
    versions = models.get(model, ModelVersions(name=model))
    chosen = versions.latest() if version == "latest" else versions.find(version)
    if versions.deprecated and (chosen or version == "latest"):
        raise VersionRefused(
            f"{model} {version} may not be used",
            why=f"the model was deprecated (tag {tag_name(model, 'deprecated')})",
            fix=f"register a new version of it: gitops-ml register {model}",
        )
    if chosen is None and version == "latest":
        raise VersionNotFound(
            f"{model} has no version that could be the latest",
            why="no annotated tag of the form " + tag_name(model, "v<semver>"),
            fix=f"gitops-ml register {model}",
        )
    if chosen is None and tag_name(model, version) in versions.lightweight:
        tag = tag_name(model, version)
        raise VersionNotFound(
            f"{model} {version} is not registered",
            why=f"its tag {tag} is lightweight; GTO reads annotated tags only",
            fix=f"gitops-ml register {model}, which makes an annotated tag",
        )
    if chosen is not None and not chosen.active:
        others = [v.version for v in versions.versions if v.active][:3]
        raise VersionRefused(
            f"{model} {version} may not be used",
            why=f"it was deregistered (tag {tag_name(model, version)}!)",
            fix=f"choose another: {', '.join(others)}" if others else f"gitops-ml register {model}",
        )
    return chosen


def next_version(model: ModelVersions, increment: Increment | None) -> str:
    """The version after the highest one ever registered, so that no deregistered name is used again.

    Without an increment it is a patch. A first version is `v0.0.1`, as in GTO. A pre-release is
    followed by its release.
    """
    if not model.versions:
        return FIRST_VERSION
    highest = model.versions[0].version
    numbers, _, pre = highest[1:].partition("+")[0].partition("-")
    major, minor, patch = (int(n) for n in numbers.split("."))
    if increment == "major":
        return f"v{major}.0.0" if pre and minor == patch == 0 else f"v{major + 1}.0.0"
    if increment == "minor":
        return f"v{major}.{minor}.0" if pre and patch == 0 else f"v{major}.{minor + 1}.0"
    return f"v{major}.{minor}.{patch}" if pre else f"v{major}.{minor}.{patch + 1}"
