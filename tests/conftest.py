"""What every test shares: an engine that must answer, names that clean up after themselves, and honest skips.

A test that was skipped has verified nothing. So each one is printed as SKIPPED with its reason, and under CI
the run fails unless docs/not-verified.md lists it.
"""

from __future__ import annotations

import calendar
import gc
import itertools
import os
import re
import secrets
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.effort import examples

if TYPE_CHECKING:
    import docker

PROJECT_LABEL = "gitops-ml.project"
SCRATCH = "scratch"  # every project that a test makes is called scratch-<test>-<random>
ABANDONED = 3 * 3600  # seconds after which another run's scratch object has no owner any more
LONGEST = (
    "workflows/test_adopt.py",
    "delivery/test_swarm.py",
    "workflows/test_demo.py",
    "delivery/test_canary.py",
    "delivery/test_interrupted.py",
)
"""Files of tests/e2e that take minutes: they begin first, so that no worker is left alone with one."""
CLEANING = 60  # seconds for which cleaning up is tried again
NO_MAINTENANCE = "[maintenance]\n\tauto = false\n[receive]\n\tautogc = false\n"
"""For Git's configuration: otherwise each commit, fetch and push starts processes that find nothing to tidy."""
NOT_VERIFIED = Path(__file__).parent.parent / "docs" / "not-verified.md"

_skipped: dict[str, str] = {}

# The workers of a run share the cores. Threads of OpenMP that find none free wait for each other in busy loops.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long one example takes says more of the machine, which runs other tests beside it, than of what is tested.
settings.register_profile(
    "shared", max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("shared")

# A shell's background job ignores Ctrl-C, one of `nohup` a closed terminal, and their children inherit that. The
# programs under test must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# --- the machine


@pytest.fixture(scope="session", autouse=True)
def neutral_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same Git and DVC everywhere: no identity, signing, hook or default branch of whoever runs this."""
    config = tmp_path_factory.mktemp("git") / "config"
    config.write_text(
        "[user]\n\tname = Test\n\temail = test@example.invalid\n"
        "[init]\n\tdefaultBranch = main\n"
        + NO_MAINTENANCE
        + "[safe]\n\tdirectory = *\n"  # CI often checks out as one user and runs as another
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("DVC_NO_ANALYTICS", "true")
        # Otherwise each command starts another process, which asks the network for a newer DVC, where CI is not set.
        patch.setenv("DVC_TEST", "true")
        yield


# --- collection


def pytest_collection() -> None:
    gc.disable()  # what is imported stays: looking for garbage in it takes a tenth of the time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def dealt(files: Sequence[str]) -> list[str]:
    """The order of test files in which workers take them: three others after each end-to-end one.

    End-to-end tests wait for containers, and others keep a core busy. The first of the former also waits for the image
    that all of them share. Workers wait less when both kinds run side by side; the shortest files come last.
    """
    first = [f"tests/e2e/{name}" for name in LONGEST if f"tests/e2e/{name}" in files]
    end_to_end = [*first, *(file for file in files if file.startswith("tests/e2e/") and file not in first)]
    others = iter([file for file in files if file not in end_to_end])
    mixed = [each for file in end_to_end for each in (file, *itertools.islice(others, 3))]
    return [*mixed, *others]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.split("::")[0], []).append(item)
    items[:] = [item for file in dealt(list(files)) for item in files[file]]


# --- the engine


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine of DOCKER_HOST, or the local one. None is a failure, not a skip: `make setup` brings one."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except DockerException as error:
        pytest.fail(f"no Docker engine answers: {error}\n  fix: make setup", pytrace=False)
    yield client
    sweep_abandoned(client)
    client.close()


@pytest.fixture
def scratch_project(engine: docker.DockerClient, request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """A factory of project names. What carries one on the engine is removed after the test, failed or not."""
    names: list[str] = []
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:20].strip("-")

    def new() -> str:
        names.append(f"{SCRATCH}-{stem}-{secrets.token_hex(3)}")
        return names[-1]

    yield new
    for name in names:
        remove_project(engine, name)


def remove_project(client: docker.DockerClient, name: str) -> None:
    """Remove every container, network, volume and image whose project label is `name`."""
    _remove_labelled(client, f"{PROJECT_LABEL}={name}")


def sweep_abandoned(client: docker.DockerClient) -> None:
    """Remove what a killed run left behind. What is younger may be another run's and is left alone."""
    chosen: dict[str, Any] = {"label": PROJECT_LABEL}
    containers = client.containers.list(all=True, filters=chosen, ignore_removed=True)
    made = [(container.labels[PROJECT_LABEL], container.attrs["Created"]) for container in containers]
    made += [(network["Labels"][PROJECT_LABEL], network["Created"]) for network in client.api.networks(filters=chosen)]
    projects = {
        project
        for project, stamp in made
        if project.startswith(f"{SCRATCH}-") and time.time() - _created(stamp) > ABANDONED
    }
    for project in projects:
        remove_project(client, project)


def _created(stamp: str) -> float:
    # Engines write nanoseconds, which fromisoformat does not read.
    return calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))


def _remove_labelled(client: docker.DockerClient, label: str) -> None:
    """Remove what carries the label. What a slow engine still holds is tried again, then reported and left.

    A test is judged by what it asserts, not by how long the engine takes to clean up after it. What is left over is
    removed by a later run's `sweep_abandoned`.
    """
    until = time.monotonic() + CLEANING
    while left := _remove_once(client, {"label": label}):
        if time.monotonic() > until:
            warnings.warn(f"left on the engine: {'; '.join(left)}", stacklevel=2)
            return
        time.sleep(1)


def _remove_once(client: docker.DockerClient, chosen: dict[str, str]) -> list[str]:
    """Try to remove each object. Returns what the engine said about those that are still there."""
    api = client.api
    left: list[str] = []
    for container in _quietly(left, api.containers, all=True, filters=chosen) or ():
        _quietly(left, api.remove_container, container["Id"], force=True, v=True)
    for network in _quietly(left, api.networks, filters=chosen) or ():
        # A container without the label, or one whose removal was cut off, may still hold an endpoint.
        inspected = _quietly(left, api.inspect_network, network["Id"]) or {}
        for endpoint in inspected.get("Containers") or {}:
            _quietly([], api.disconnect_container_from_network, endpoint, network["Id"], force=True)
        _quietly(left, api.remove_network, network["Id"])
    for volume in (_quietly(left, api.volumes, filters=chosen) or {}).get("Volumes") or ():
        _quietly(left, api.remove_volume, volume["Name"], force=True)
    for image in _quietly(left, api.images, filters=chosen) or ():
        _quietly(left, api.remove_image, image["Id"], force=True)
    return left


def _quietly(left: list[str], call: Callable[..., Any], *args: str, **options: Any) -> Any:
    """The call's answer. What is gone already is None; any other error is None too, and is added to `left`."""
    import requests
    from docker.errors import DockerException, NotFound

    try:
        return call(*args, **options)
    except NotFound:
        return None
    except (DockerException, requests.RequestException) as error:
        left.append(str(error))
        return None


# --- skips


def listed_as_not_verified(text: str) -> set[str]:
    """The test ids of docs/not-verified.md: whatever stands in backquotes and begins with `tests/`."""
    return set(re.findall(r"`(tests/[^`]+)`", text))


def is_listed(test: str, listed: set[str]) -> bool:
    """Whether the test, its function (without parameters), its class or its file is listed."""
    return any(test == entry or test.startswith((f"{entry}::", f"{entry}[")) for entry in listed)


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure did run; pytest reports it as skipped too.
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _skipped[report.nodeid] = reason.removeprefix("Skipped: ")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


def _unlisted() -> list[str]:
    listed = listed_as_not_verified(NOT_VERIFIED.read_text()) if NOT_VERIFIED.exists() else set()
    return sorted(test for test in _skipped if not is_listed(test, listed))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("CI") == "true" and exitstatus == pytest.ExitCode.OK and _unlisted():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for test, reason in sorted(_skipped.items()):
        terminalreporter.write_line(f"SKIPPED {test}: {reason}")
    if os.environ.get("CI") == "true":
        for test in _unlisted():
            terminalreporter.write_line(f"NOT VERIFIED and not in docs/not-verified.md: {test}", red=True)
