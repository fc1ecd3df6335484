"""The grammar and the meaning of tags, compared with GTO's own code where it can answer."""

from __future__ import annotations

import pytest
import semver
from gto.base import Artifact
from gto.constants import VersionSort
from gto.tag import index_tag, parse_name
from hypothesis import given
from hypothesis import strategies as st
from scmrepo.git.objects import GitTag

from gitops_ml.core.versions.tags import (
    ModelVersions,
    Tag,
    Version,
    check_version,
    choose_version,
    is_version,
    next_version,
    parse_tag,
    read_tags,
    split_model,
    tag_name,
    version_order,
)
from gitops_ml.errors import InputError, VersionNotFound, VersionRefused

NAMES = ["m", "flight-delay", "a/b_c", "sub/dir=m", "a=b=c", "-x", "ü", "m.", "M9"]
TAILS = ["v1.2.3", "v1.2.3-rc.1", "v1.2.3+b.7", "v01.2.3", "v1.2", "1.2.3", "deprecated", "created", "latest", ""]


def tag(name: str, created: int = 0, annotated: bool = True, commit: str = "c") -> Tag:
    return Tag(name=name, commit=commit, created=created, annotated=annotated)


@given(
    st.one_of(
        st.builds(
            lambda name, sign, tail, cancel, counter: name + sign + tail + cancel + counter,
            st.sampled_from(NAMES),
            st.sampled_from(["@", "#", "@@", ""]),
            st.sampled_from([*TAILS, "prod", "a/b"]),
            st.sampled_from(["", "!", "!!"]),
            st.sampled_from(["", "#1", "#12", "#", "#x"]),
        ),
        st.text("am@#!=v01.-+/d_", max_size=14),
    )
)
def test_tags_mean_the_same_as_in_gto(name: str) -> None:
    theirs = parse_name(name, raise_on_fail=False)
    ours = parse_tag(name)
    if not theirs or "action" not in theirs:
        assert ours is None or ours.action == "create"  # GTO matches `@created` and gives it no action
        return
    assert ours is not None
    assert (ours.model, ours.action, ours.version, ours.stage) == (
        theirs["name"],
        theirs["action"].value,
        theirs.get("version"),
        theirs.get("stage"),
    )


NUMBERS = st.integers(0, 12)
PRE = st.lists(st.sampled_from(["alpha", "rc", "1", "2", "10", "x-y", "0a"]), max_size=3).map(".".join)


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, PRE), st.tuples(NUMBERS, NUMBERS, NUMBERS, PRE))
def test_versions_are_ordered_by_semver(
    first_parts: tuple[int, int, int, str], second_parts: tuple[int, int, int, str]
) -> None:
    texts = [f"{a}.{b}.{c}" + (f"-{pre}" if pre else "") for a, b, c, pre in (first_parts, second_parts)]
    first, second = (version_order(f"v{text}") for text in texts)
    theirs = semver.Version.parse(texts[0]).compare(texts[1])
    assert ((first > second) - (first < second)) == theirs


@pytest.mark.parametrize(
    ("tags", "active"),
    [
        ([("m@v1.0.0", 1)], True),
        ([("m@v1.0.0", 1), ("m@v1.0.0!", 2)], False),
        ([("m@v1.0.0!#2", 2), ("m@v1.0.0#1", 1), ("m@v1.0.0#3", 3)], True),
        ([("m@v1.0.0", 5), ("m@v1.0.0!", 5)], False),
        ([("m@v1.0.0", 5), ("m@v1.0.0!", 4)], True),
        ([("m@v1.0.0", 1), ("m#prod#1", 3), ("m#prod!#2", 4)], True),
    ],
)
def test_the_latest_event_decides(tags: list[tuple[str, int]], active: bool) -> None:
    model = read_tags(tag(name, at) for name, at in tags)["m"]
    assert [v.active for v in model.versions] == [active]


@pytest.mark.parametrize(
    ("tags", "deprecated"),
    [
        ([("m@v1.0.0", 1), ("m@deprecated", 2)], True),
        ([("m@v1.0.0", 1), ("m@deprecated#2", 2), ("m@v1.1.0", 3)], False),
        ([("m@deprecated", 2), ("m@v1.0.0", 2)], False),
    ],
)
def test_a_model_is_deprecated_until_a_later_tag(tags: list[tuple[str, int]], deprecated: bool) -> None:
    assert read_tags(tag(name, at) for name, at in tags)["m"].deprecated is deprecated


def in_gto(tags: list[Tag]) -> Artifact:
    """What GTO makes of the tags of one model, in order of their time."""
    artifact = Artifact(artifact="m", versions=[])
    for each in tags:
        artifact = index_tag(
            artifact,
            GitTag(
                hexsha="0" * 40,
                name=each.name,
                target=each.commit,
                tagger_name="Ada",
                tagger_email="ada@example.org",
                message="",
                tag_time=each.created,
                tag_time_offset=0,
            ),
        )
    return artifact


VERSIONS = [f"v1.{minor}.0" for minor in range(3)]


@given(
    st.lists(
        st.tuples(st.sampled_from(["m@{}!", "m@{}", "m#prod", "m#prod!", "m#staging"]), st.sampled_from(VERSIONS)),
        max_size=12,
    )
)
def test_stages_hold_the_versions_that_they_hold_in_gto(events: list[tuple[str, str]]) -> None:
    names = [("m@{}", version) for version in VERSIONS] + events
    tags = [
        tag(f"{name.format(version)}#{number}", number, commit=f"of {version}")
        for number, (name, version) in enumerate(names, 1)
    ]
    theirs = in_gto(tags).get_vstages(versions_per_stage=1, sort=VersionSort.Timestamp)
    ours = read_tags(tags)["m"].versions
    assert sorted((stage, version.version) for version in ours for stage in version.stages) == sorted(
        (stage, held.version) for stage, holders in theirs.items() for held in holders
    )


@pytest.mark.parametrize(
    ("tags", "stages"),
    [
        ([("m@v1.0.0", 5, "a"), ("m#prod#1", 5, "a")], {"v1.0.0": ("prod",)}),
        ([("m@v1.0.0", 1, "a"), ("m@v2.0.0", 1, "b"), ("m#p#9", 5, "a"), ("m#p#10", 5, "b")], {"v2.0.0": ("p",)}),
        ([("m@v1.0.0", 1, "a"), ("m#p#1", 5, "a"), ("m#p!#2", 5, "a")], {}),
        ([("m@v1.0.0", 1, "a"), ("m#p#1", 2, "a"), ("m#p#2", 3, "no version's")], {}),
        ([("m@v1.0.0", 1, "a"), ("m#p#1", 2, "a"), ("m@deprecated", 3, "a")], {}),
        ([("m@v1.0.0", 1, "a"), ("m#q", 2, "a"), ("m#a/b", 3, "a")], {"v1.0.0": ("a/b", "q")}),
    ],
)
def test_stages_of_the_same_second_and_of_no_version(
    tags: list[tuple[str, int, str]], stages: dict[str, tuple[str, ...]]
) -> None:
    model = read_tags(tag(name, at, commit=commit) for name, at, commit in tags)["m"]
    assert {v.version: v.stages for v in model.versions if v.stages} == stages


def test_models_are_kept_apart_and_sorted() -> None:
    models = read_tags(map(tag, ["b@v1.9.0", "b@v1.10.0", "a@v1.0.0-rc.1", "a@v1.0.0", "release-1", "sub/x=b@v3.0.0"]))
    assert {name: [v.version for v in model.versions] for name, model in models.items()} == {
        "a": ["v1.0.0", "v1.0.0-rc.1"],
        "b": ["v1.10.0", "v1.9.0"],
        "sub/x:b": ["v3.0.0"],
    }


def test_a_version_is_chosen_or_refused() -> None:
    models = read_tags(
        [tag("m@v1.0.0", 1), tag("m@v1.1.0", 2), tag("m@v1.1.0!", 3), tag("light@v1.0.0", 1, annotated=False)]
    )
    chosen = choose_version(models, "m", "latest")
    assert chosen is not None and chosen.version == "v1.0.0"
    assert choose_version(models, "m", "v9.0.0") is None
    assert choose_version(models, "unknown", "v1.0.0") is None
    with pytest.raises(VersionRefused, match=r"choose another: v1\.0\.0"):
        choose_version(models, "m", "v1.1.0")
    with pytest.raises(VersionNotFound, match="lightweight"):
        choose_version(models, "light", "v1.0.0")
    with pytest.raises(VersionNotFound, match="no version that could be the latest"):
        choose_version(models, "unknown", "latest")
    retired = read_tags([tag("m@v1.0.0", 1), tag("m@deprecated", 2)])
    for version in ("v1.0.0", "latest"):
        with pytest.raises(VersionRefused, match="deprecated"):
            choose_version(retired, "m", version)


@pytest.mark.parametrize(
    ("highest", "step", "then"),
    [
        (None, "major", "v0.0.1"),
        ("v1.2.3", None, "v1.2.4"),
        ("v1.2.3", "patch", "v1.2.4"),
        ("v1.2.3", "minor", "v1.3.0"),
        ("v1.2.3", "major", "v2.0.0"),
        ("v1.2.3-rc.1", "patch", "v1.2.3"),
        ("v1.3.0-rc.1", "minor", "v1.3.0"),
        ("v1.3.1-rc.1", "minor", "v1.4.0"),
        ("v2.0.0-rc.1", "major", "v2.0.0"),
        ("v1.2.3+build.7", "patch", "v1.2.4"),
    ],
)
def test_the_next_version(highest: str | None, step: str | None, then: str) -> None:
    versions: tuple[Version, ...] = ()
    if highest:
        versions = (Version(model="m", version=highest, commit="c", tag="t", created=0, active=False),)
    assert next_version(ModelVersions(name="m", versions=versions), step) == then  # type: ignore[arg-type]
    assert is_version(then)


def test_dns_labels_are_names() -> None:
    assert split_model("flight-delay") == ("", "flight-delay")
    assert split_model("sub/dir:m") == ("sub/dir", "m")
    assert tag_name("sub/dir:m", "v1.0.0") == "sub/dir=m@v1.0.0"
    assert split_model("nlp/spam") == ("", "nlp/spam")
    for wrong in ("", "-m", "m@v1", "a:b:c", "m\n", "../x:m", "a/../b:m", "a//b:m", ".:m"):
        with pytest.raises(InputError):
            split_model(wrong)
    for model, advice in {
        "sub/dvc.yaml:m": "write sub:m",
        "./sub:m": "write sub:m",
        "dvc.yaml:m": "write m, or",
    }.items():
        with pytest.raises(InputError, match=advice):
            split_model(model)
    with pytest.raises(InputError, match=r"v1\.2\.0"):
        check_version("1.2.0")
