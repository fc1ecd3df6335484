"""What a comment remembers of earlier commits, and that nobody can use it to say something else."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.core.pull_request.facts import PullRequest
from gitops_ml.core.pull_request.length import LIMIT
from gitops_ml.core.pull_request.stored_comment import commit_of, marker, stored_comment
from tests.effort import examples
from tests.unit.pull_request.builders import deployment, desired, facts, model, request


def at(commit: str, version: str = "v2") -> PullRequest:
    changed = facts(desired(deployment("v1")), desired(deployment(version)))
    return msgspec.structs.replace(request(changed), head=commit * 40)


def test_the_marker_comes_first_and_the_commit_is_read_back() -> None:
    text = stored_comment(at("a"))
    assert text.startswith(f"{marker('shop')}\n")
    assert commit_of(text) == "a" * 40
    assert "Earlier commits" not in text


def test_the_same_commit_again_changes_nothing() -> None:
    text = stored_comment(at("a"))
    assert stored_comment(at("a"), text) == text


def test_earlier_states_are_folded_the_newest_first_and_few() -> None:
    text = ""
    for commit in "12345678":
        text = stored_comment(at(commit, f"v{commit}"), text)
    assert "<summary>Earlier commits (5)</summary>" in text
    assert text.index("`777777777777`: prod: all users of churn move from v1 to v7") < text.index("`666666666666`")
    assert "`222222222222`" not in text


def test_what_somebody_wrote_into_the_memory_is_shown_as_text_or_forgotten() -> None:
    edited = stored_comment(at("a")).replace('"summary":"', '"summary":"<img src=x> @ada \\n\\n/merge ')
    text = stored_comment(at("b"), edited)
    folded = text[text.index("Earlier commits") :]
    assert "&lt;img" in folded and "@&#8203;ada" in folded and "\n/merge" not in folded
    broken = stored_comment(at("a")).replace('{"now"', '{"then"')
    assert commit_of(broken) is None
    assert "Earlier" not in stored_comment(at("b"), broken)


@settings(max_examples=examples(15))
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("<>@#-"), max_size=400), st.integers(0, 30))
def test_with_its_memory_it_is_never_longer_than_a_forge_takes(text: str, count: int) -> None:
    deployments = [deployment(name=f"m{n}") for n in range(count)]
    stored = ""
    for commit in "12345678":
        broken = desired(broken={f"{text}{n}": text for n in range(count)})
        changed = request(facts(desired(*deployments), broken, error=text), models=(model(),) * 8)
        stored = stored_comment(msgspec.structs.replace(changed, head=commit * 40), stored)
        assert len(stored) <= LIMIT
        assert commit_of(stored) == commit * 40
        assert stored.split("\n\n")[1].count("-->") == 1
