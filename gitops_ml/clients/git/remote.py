"""What goes to and comes from the remote: all or nothing, never forced, and believed only once it was read
back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from gitops_ml.clients.git.checkout import move_branch
from gitops_ml.clients.git.process import Done
from gitops_ml.errors import PushRejected, SourceError, SourceUnavailable

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository

_SLOW = ("-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=30", "-c", "protocol.ext.allow=never")
_PUSH_SECONDS = 120.0


Published = Literal["pushed", "raced"]
"""`pushed`: the ref was read back and holds the commit. `raced`: someone else moved the branch first."""


def fetch(repository: Repository, timeout: float) -> None:
    """See `Repository.fetch`."""
    remote, branch = repository.remote, repository.branch
    mirror = f"refs/gitops-ml/{remote}"
    shallow = (repository.common_dir / "shallow").exists()
    if not shallow and _is_current(repository, mirror, timeout):
        return
    command = [
        *_SLOW,
        "fetch",
        "--atomic",
        "--prune",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
        "--quiet",
        "--refmap=",
        # A shallow clone knows neither who descends from whom nor the commits of older versions.
        *(["--unshallow"] if shallow else []),
        str(remote),
        f"+refs/heads/*:{mirror}/heads/*",
        # Named once more, so that a remote which lost it fails the whole fetch instead of pruning it here.
        f"+refs/heads/{branch}:{mirror}/heads/{branch}",
        f"+refs/tags/*:{mirror}/tags/*",
    ]
    for attempt in range(4):
        done = repository.git.run(*command, timeout=timeout)
        if done.code == 0:
            return
        # Another pass in the same clone fetches at this moment: it holds the refs for milliseconds.
        if "cannot lock ref" not in done.messages and "Unable to create" not in done.messages:
            break
        time.sleep(0.05 * 2**attempt)
    raise _unavailable(repository, done)


def _is_current(repository: Repository, mirror: str, timeout: float) -> bool:
    """Whether the mirror has every branch and tag as the remote has them.

    Asked first, since most passes find nothing new, and `ls-remote` tells so in 6 ms where `fetch` takes 40 to 90.
    Any doubt is left to `fetch`, which then says what is wrong.
    """
    here = repository.git.run("for-each-ref", "--format=%(objectname)\t%(refname)", mirror)
    if not here.out:
        return False
    asked = repository.git.run(
        *(*_SLOW, "ls-remote", "--heads", "--tags", "--refs", str(repository.remote)),
        timeout=timeout,
    )
    if asked.code == -1:
        raise _unavailable(repository, asked)
    known = set(here.text.replace(f"\t{mirror}/", "\trefs/").splitlines())
    return asked.code == 0 and known == set(asked.text.splitlines())


def publish(repository: Repository, commit: str, expected_old: str | None, branch: str) -> Published:
    """See `Repository.publish`."""
    if expected_old is not None and not repository.is_ancestor(expected_old, commit):
        raise SourceError(
            f"{commit[:12]} does not descend from {expected_old[:12]}",
            why="publishing it would drop what is on the branch",
            fix="make the commit on the fetched tip",
        )
    if repository.remote is None:
        now = move_branch(repository, branch, commit, expected_old)
        return "pushed" if now == commit else "raced"
    ref = f"refs/heads/{branch}"
    done = repository.git.run(
        *_SLOW,
        "push",
        "--porcelain",
        "--no-verify",
        f"--force-with-lease={ref}:{expected_old or ''}",
        repository.remote,
        f"{commit}:{ref}",
        timeout=_PUSH_SECONDS,
    )
    now = _read_back(repository, ref, done)
    if now == commit or (now is not None and done.code == 0 and _on_top(repository, branch, now, commit)):
        _mirror(repository, branch, now)
        return "pushed"
    if now != expected_old:
        return "raced"
    raise PushRejected(
        f"{repository.remote} did not take {commit[:12]} on {branch}",
        why=_reason(done),
        fix=f"let this identity push to {branch}, or set records: {{branch: <name>}} in environment.yaml",
    )


def push_tag(repository: Repository, name: str) -> None:
    """See `Repository.push_tag`."""
    if repository.remote is None:
        return
    ref = f"refs/tags/{name}"
    own = repository.git.run("rev-parse", "--verify", "--quiet", ref).text
    done = repository.git.run(
        *_SLOW,
        "push",
        "--porcelain",
        repository.remote,
        f"{ref}:{ref}",
        timeout=_PUSH_SECONDS,
        hooks=True,
    )
    now = _read_back(repository, ref, done)
    if now == own and own:
        repository.git.run("update-ref", f"refs/gitops-ml/{repository.remote}/tags/{name}", own)
        return
    raise PushRejected(
        f"{repository.remote} did not take the tag {name}",
        why=f"it has another tag of that name, {now[:12]}" if now else _reason(done),
        fix=f"git ls-remote --tags {repository.remote} '{name}*'",
    )


def push_branch(repository: Repository, branch: str, commit: str) -> None:
    """See `Repository.push_branch`."""
    remote = str(repository.remote)
    ref = repository.config.get(f"branch.{branch}.merge", f"refs/heads/{branch}")
    done = repository.git.run(
        *(*_SLOW, "push", "--porcelain", "--set-upstream", remote, f"{commit}:{ref}"),
        timeout=_PUSH_SECONDS,
        hooks=True,
    )
    if _read_back(repository, ref, done) != commit:
        raise PushRejected(
            f"{remote} did not take {commit[:12]} on {ref.removeprefix('refs/heads/')}",
            why=_reason(done),
            fix="git pull --rebase, then git push; or --branch <name> and a pull request",
        )


def _read_back(repository: Repository, ref: str, pushed: Done) -> str | None:
    """The object at the remote's `ref`, None when it has none.

    Raises PushRejected when the remote does not answer.
    """
    asked = repository.git.run(*(*_SLOW, "ls-remote", str(repository.remote), ref), timeout=30.0)
    if asked.code != 0:
        raise PushRejected(
            f"{repository.remote} does not answer, so nothing is known to be pushed",
            why=_reason(pushed if pushed.code != 0 else asked),
            fix=f"git ls-remote {repository.remote}",
        )
    for line in asked.text.splitlines():
        found, _, name = line.partition("\t")
        if name == ref:
            return found
    return None


def _on_top(repository: Repository, branch: str, now: str, commit: str) -> bool:
    """Whether our push arrived and someone pushed on top of it before it was read back."""
    try:
        repository.fetch()
    except SourceUnavailable:
        return False
    return repository.is_ancestor(commit, now)


def _mirror(repository: Repository, branch: str, commit: str) -> None:
    """Let what was just read back be the fetched tip, so that the next reader need not fetch to see it."""
    repository.git.run("update-ref", f"refs/gitops-ml/{repository.remote}/heads/{branch}", commit)


def _unavailable(repository: Repository, done: Done) -> SourceUnavailable:
    return SourceUnavailable(
        f"the remote {repository.remote} could not be fetched",
        why=_reason(done),
        fix=f"git -C {repository.root} fetch {repository.remote} {repository.branch}",
    )


def _reason(done: Done) -> str:
    """The line of git's messages that says why: the remote's own words first."""
    lines = [line.strip() for line in (done.text + "\n" + done.messages).splitlines() if line.strip()]
    said = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    refused = [line.replace("\t", " ") for line in lines if line.startswith(("!", "fatal:", "error:"))]
    chosen = [line for line in said if line][:3] + refused[:2]
    return "; ".join(chosen or lines[-2:])[:500]
