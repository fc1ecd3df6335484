"""The mirror of the remote's branches and tags, fetched all or nothing.

By plumbing: GitPython's `Remote.fetch` reads the results from FETCH_HEAD, which belongs to the user.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from gitops_ml.clients.git.clone import Clone
from gitops_ml.clients.git.process import GitResult
from gitops_ml.errors import SourceUnavailable

FETCH_SECONDS = 120.0


def fetch(clone: Clone, timeout: float = FETCH_SECONDS) -> None:
    """Make the mirror equal to the remote's branches and tags; nothing is changed by a fetch that fails.

    `timeout` is in seconds. Does nothing without a remote.

    Raises:
        SourceUnavailable: the remote does not answer, in time or at all, or does not have the tracked branch.
    """
    remote, branch = clone.remote, clone.branch
    if remote is None:
        return
    heads, tags = clone.mirror("heads"), clone.mirror("tags")
    shallow = (clone.common_dir / "shallow").exists()
    if not shallow and _is_current(clone, timeout):
        return
    command = (
        *("fetch", "--atomic", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"),
        *("--no-recurse-submodules", "--quiet", "--refmap="),
        # A shallow clone knows neither who descends from whom nor the commits of older versions.
        *(["--unshallow"] if shallow else []),
        *("--", remote),
        f"+refs/heads/*:{heads}/*",
        # Named once more, so that a remote which lost it fails the whole fetch instead of pruning it here.
        f"+refs/heads/{branch}:{heads}/{branch}",
        f"+refs/tags/*:{tags}/*",
    )
    for attempt in range(4):
        result = clone.git.run(*command, timeout=timeout)
        if result.code == 0:
            return
        if "cannot lock ref" not in result.messages and "Unable to create" not in result.messages:
            break
        # Another pass in the same clone fetches at this moment, and holds the refs for milliseconds.
        if not _drop_conflicting(clone, timeout):
            time.sleep(0.05 * 2**attempt)
    if result.code < 0:  # it was ended, by its time-out or because the clone is closed: nothing more is asked
        raise unavailable(clone, result)
    listed = _listed(clone, timeout)
    if listed and f"heads/{branch}" not in listed:
        raise _gone(clone, [name.removeprefix("heads/") for name in listed if name.startswith("heads/")])
    raise unavailable(clone, result)


def _is_current(clone: Clone, timeout: float) -> bool:
    """Whether the mirror has every branch and tag as the remote has them.

    Asked first, since most passes find nothing new, and `ls-remote` tells so in 6 ms where `fetch` takes 40 to 90.
    Any doubt is left to `fetch`, which then says what is wrong.
    """
    here = _mirrored(clone)
    return bool(here) and here == _listed(clone, timeout)


def _drop_conflicting(clone: Clone, timeout: float) -> bool:
    """Drop mirrored refs that the remote lost and whose names exclude new ones, as `release` excludes `release/1.0`.

    An atomic fetch cannot do both. It has brought the objects already when it finds out, and is tried again next.
    """
    here, there = _mirrored(clone), _listed(clone, timeout) or {}
    lost = [
        name
        for name in here.keys() - there.keys()
        if any(new.startswith(f"{name}/") or name.startswith(f"{new}/") for new in there)
    ]
    root = f"refs/gitops-ml/{clone.remote}/"
    lines = "".join(f"delete {root}{name}\0{here[name]}\0" for name in lost)
    return (
        bool(lost)
        and clone.git.run("update-ref", "-z", "--stdin", stdin=lines.encode("utf-8", "surrogateescape")).code == 0
    )


def _mirrored(clone: Clone) -> dict[str, str]:
    """The object ids of the mirror, by names such as `heads/main`."""
    root = f"refs/gitops-ml/{clone.remote}/"
    listed = clone.git.run("for-each-ref", "--format=%(objectname)\t%(refname)", root).lines
    return {name.removeprefix(root): identity for identity, _, name in (line.partition("\t") for line in listed)}


def _listed(clone: Clone, timeout: float) -> dict[str, str] | None:
    """The object ids of the remote's branches and tags, by names as in `_mirrored`; None where it refuses.

    Raises SourceUnavailable when it does not answer in time.
    """
    asked = clone.git.run("ls-remote", "--heads", "--tags", "--refs", "--", str(clone.remote), timeout=timeout)
    if asked.code < 0:
        raise unavailable(clone, asked)
    if asked.code != 0:
        return None
    return {
        name.removeprefix("refs/"): identity for identity, _, name in (line.partition("\t") for line in asked.lines)
    }


def _gone(clone: Clone, branches: list[str]) -> SourceUnavailable:
    """The tracked branch was renamed or deleted at the remote, as when `master` becomes `main`."""
    remote, gone, own = clone.remote, clone.branch, clone.checked_out
    asked = clone.git.run("ls-remote", "--symref", "--", str(remote), "HEAD", timeout=30.0).text
    main = asked.partition("\t")[0].removeprefix("ref: refs/heads/") if asked.startswith("ref: refs/heads/") else None
    within = "" if Path.cwd().is_relative_to(clone.root) else f"cd {shlex.quote(str(clone.root))} && "
    steps = [f"git fetch {remote}"]
    if own is not None and f"branch.{own}.merge" in clone.config:
        followed = main or "<branch>"
        exists = clone.ref(f"refs/heads/{followed}") is not None
        steps += [f"git switch {followed}" if exists else f"git branch -m {own} {followed}"] if own != followed else []
        steps += [f"git branch -u {remote}/{followed}"]
    steps += [f"git remote set-head {remote} {'--auto' if main else '<branch>'}"]
    return SourceUnavailable(
        f"{remote} has no branch {gone} any more",
        why=f"its main branch is {main}" if main else f"it has {', '.join(branches[:5])}, and none is its main one",
        fix=within + " && ".join(steps),
    )


def unavailable(clone: Clone, result: GitResult) -> SourceUnavailable:
    if "find remote ref" in result.messages:
        listed = clone.git.run("ls-remote", "--heads", "--", str(clone.remote), timeout=FETCH_SECONDS)
        if listed.code == 0 and not listed.lines:
            return SourceUnavailable(
                f"the remote {clone.remote} is empty",
                why="nothing was pushed there yet",
                fix=f"git push -u {clone.remote} {clone.branch}",
            )
    return SourceUnavailable(
        f"the remote {clone.remote} could not be fetched",
        why=reason(result),
        fix=f"git -C {clone.root} fetch {clone.remote} {clone.branch}",
    )


def reason(result: GitResult) -> str:
    """The lines of git's messages that say why: the remote's own words first."""
    lines = [line.strip() for line in f"{result.text}\n{result.messages}".split("\n") if line.strip()]
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    refused = [line.replace("\t", " ") for line in lines if line.startswith(("!", "fatal:", "error:"))]
    chosen = [line for line in remote if line][:3] + refused[:2]
    return "; ".join(chosen or lines[-2:])[:500]
