"""No configuration of the user changes what is read from git, or what is written and pushed."""

from __future__ import annotations

import os
from pathlib import Path

from gitops_ml.clients.git.repository import Repository
from tests.git.cli_clone import answer, with_model
from tests.git.conftest import commit_file, git

ODD = """
[core]
	abbrev = 4
	quotePath = true
[log]
	showSignature = true
	follow = true
[column]
	ui = always
[tag]
	sort = -creatordate
[branch]
	sort = -committerdate
	autoSetupMerge = always
[status]
	showUntrackedFiles = no
	relativePaths = false
[diff]
	external = false
	ignoreSubmodules = all
	mnemonicPrefix = true
[push]
	default = nothing
	followTags = true
	recurseSubmodules = check
[fetch]
	prune = false
	output = compact
[remote "origin"]
	tagOpt = --no-tags
[commit]
	cleanup = strip
	verbose = true
	status = false
"""


def test_no_configuration_changes_what_is_written(tmp_path: Path) -> None:
    work = with_model(tmp_path)
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text(config.read_text() + ODD)
    commit_file(work, "model.json", "{1}\n")
    git(work, "push", "-q", "origin", "main")
    git(work, "tag", "-a", "-m", "private", "mine")
    tag = answer(work, "register", "churn", "--push", "--message", "#12: better")["tag"]
    assert git(work, "for-each-ref", "--format=%(contents)", f"refs/tags/{tag}") == "#12: better"
    said = answer(work, "bump", "staging", "churn", "v2.0.1", "--push")
    assert said["pushed"] is True
    assert answer(work, "bump", "staging", "churn", "v2.0.1", "--push")["changed"] is False
    done = answer(work, "hold", "prod", "churn", "--reason", "#1 first", "--branch", "hold-churn", "--push")
    assert git(work, "log", "-1", "--format=%B", done["commit"]) == "Hold churn in prod\n\n#1 first"
    assert "mine" not in git(work, "ls-remote", "origin"), "tags that nobody named stay here"
    with Repository.open(work) as repository:
        repository.fetch()
        assert {t.name for t in repository.tags()} == {"churn@v2.0.0", tag}
