"""Tests of the skip accounting: if it missed a skip, a silent test would prove nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parent / "conftest.py"
SKIPPING = """
import pytest
@pytest.mark.parametrize("n", [1])
def test_skipped(n): pytest.skip("no such thing here")
def test_ran(): pass
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with this repository's conftest and one test that is skipped."""
    for name, text in {
        "tests/conftest.py": CONFTEST.read_text(),
        "tests/test_it.py": SKIPPING,
        "docs/not-verified.md": "",
    }.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return pytester


def test_an_unlisted_skip_fails_ci(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    result = project.runpytest_inprocess("tests")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["SKIPPED tests/test_it.py::test_skipped[[]1]: no such thing here"])
    result.stdout.fnmatch_lines(["NOT VERIFIED and not in docs/not-verified.md: *test_skipped*"])


def test_an_unlisted_skip_is_reported_and_allowed_outside_ci(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = project.runpytest_inprocess("tests")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["SKIPPED tests/test_it.py::test_skipped*"])


@pytest.mark.parametrize("entry", ["tests/test_it.py", "tests/test_it.py::test_skipped"])
def test_a_listed_skip_passes_ci(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("CI", "true")
    (project.path / "docs" / "not-verified.md").write_text(f"| `{entry}` | why |")
    assert project.runpytest_inprocess("tests").ret == pytest.ExitCode.OK


def test_a_skipped_module_counts(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    (project.path / "tests" / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    (project.path / "tests" / "test_other.py").write_text("def test_ran(): pass\n")
    assert project.runpytest_inprocess("tests").ret == pytest.ExitCode.TESTS_FAILED
