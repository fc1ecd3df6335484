"""Every command that the source prints as a fix or as the next one, and the test that runs it.

`printed_templates` finds them. `RUN` names the test that runs what is printed. `NOT_RUN_FOR` says why no test does. A
text in neither fails `tests/unit/cli/test_printed_commands.py`.
"""

from __future__ import annotations

_STEPS = "tests/git/printed/test_next_steps.py"
_HERE = "tests/git/printed/test_commands.py"
_EDITS = "tests/git/printed/test_edits.py"
_DVC = "tests/git/printed/test_dvc.py"
_RECORDS = "tests/git/printed/test_records.py"
_BAD_INPUT = "tests/e2e/bad_input/test_on_the_host.py"
_COMMENT = "tests/git/cli/test_comment.py"
_REMOVALS = "tests/e2e/delivery/test_environments.py"
_VERIFY = "tests/e2e/workflows/test_verify.py"
_HEALING = "tests/e2e/healing/test_gateway.py"
_TRACE = "tests/git/cli/test_trace.py"
_OWNERSHIP = "tests/e2e/delivery/test_ownership.py"
_ENGINE = "tests/unit/clients/test_engine_address.py"
RUN = {
    "restore environments/{}, or take away what it runs: docker rm -f $(docker ps -aq --filter "
    "label={}={} --filter label={}={})": (
        f"{_REMOVALS}::test_an_environment_without_its_folder_is_left_alone_and_reported"
    ),
    "`docker {} inspect {}` shows whose it is; rename the project, or `docker {} rm {}`": (
        f"{_OWNERSHIP}::test_an_object_with_our_name_but_without_our_label_is_refused_and_left_alone"
    ),
    "docker start {}": (
        f"{_HEALING}::test_what_serves_is_healed_beside_a_newer_versions_journal_which_a_command_then_mends"
    ),
    "let DVC track it: git rm -q --cached {} && dvc add {}": f"{_DVC}::test_a_large_file_beside_a_model",
    "docker inspect {}": f"{_OWNERSHIP}::test_a_container_with_the_gateways_name_is_refused_and_left_alone",
    "docker context inspect {}": f"{_ENGINE}::test_a_malformed_context_is_named",
    "`docker context ls` lists them; `docker context use default`, or set `engine:` in environment.yaml": (
        f"{_ENGINE}::test_a_context_that_is_gone_is_replaced_as_printed"
    ),
    "start it, or correct {}; `gitops-ml doctor` looks closer": f"{_HERE}::test_an_engine_that_does_not_answer",
    "git remote set-url origin <its new address>": f"{_EDITS}::test_a_repository_that_moved_to_another_address",
    "gitops-ml versions": f"{_TRACE}::test_what_nobody_knows_is_said",
    "gitops-ml trace {} {}": f"{_TRACE}::test_what_nobody_knows_is_said",
    "gitops-ml trace {}@{} -o cyclonedx, for what is known": (
        f"{_TRACE}::test_what_no_stage_made_has_a_bill_and_no_provenance"
    ),
    "gitops-ml sync {} --confirm-removals; or, if it went by mistake, restore its file": (
        f"{_REMOVALS}::test_the_last_deployment_is_removed_only_with_confirmation"
    ),
    "gitops-ml sync {} --rebind, if that is meant": (
        f"{_BAD_INPUT}::test_another_engine_than_recorded_is_refused_until_rebind"
    ),
    "wait, or `gitops-ml sync {} --break-lock {}`": (
        f"{_BAD_INPUT}::test_a_held_lock_names_its_holder_and_how_to_break_it"
    ),
    "git fetch, or gitops-ml sync {} --allow-older": (
        f"{_HEALING}::test_what_serves_is_healed_beside_a_newer_versions_journal_which_a_command_then_mends"
    ),
    "use that version or a newer one; or begin without it: gitops-ml sync {} --rebuild-journal": (
        f"{_HEALING}::test_what_serves_is_healed_beside_a_newer_versions_journal_which_a_command_then_mends"
    ),
    "git add .dvc/config && git commit -m 'Declare DVC remotes' && git push; or git pull, if it is behind": (
        "tests/git/cli/test_doctor.py::test_a_dvc_remote_is_shown_without_its_password"
    ),
    "next: git add environments && git commit -m 'Declare environments'{}": (
        f"{_STEPS}::test_what_init_prints_works_in_a_clone_that_was_never_pushed"
    ),
    "remove it there, and set it for this {} alone: dvc remote modify {} {} {} <value>": (
        "tests/unit/clients/test_dvc_config.py::test_only_this_clone_says_where_credentials_come_from"
    ),
    "next: gitops-ml doctor": f"{_STEPS}::test_what_init_prints_works_in_a_clone_that_was_never_pushed",
    "next: git push {} {}": f"{_STEPS}::test_what_register_prints_works_as_printed",
    "gitops-ml bump {} {} --create": f"{_HERE}::test_a_declaration_that_does_not_exist",
    "gitops-ml init": f"{_HERE}::test_a_project_without_environments",
    "dvc init": f"{_HERE}::test_a_clone_without_dvc",
    "dvc init, in that folder": f"{_HERE}::test_a_clone_without_dvc",
    "git init, or go to a clone": f"{_HERE}::test_a_folder_without_git",
    "gitops-ml register {}": f"{_HERE}::test_a_model_without_versions",
    "gitops-ml register {} --version {}": f"{_HERE}::test_a_version_that_exists_already",
    "gitops-ml register {}, which makes an annotated tag": f"{_HERE}::test_a_lightweight_tag",
    "gitops-ml versions {}; push a tag with git push --tags": f"{_HERE}::test_a_version_that_nobody_has",
    "git mv {} {}.yaml": f"{_HERE}::test_a_file_with_the_other_suffix",
    "write {}, or remove the folder: git rm -r {}/{}": f"{_HERE}::test_a_folder_without_environment_yaml",
    "write {}, or remove the folder: git rm -r {}/{}; {}": f"{_HERE}::test_a_mistyped_environment",
    "git -C {} fetch {} {}": f"{_HERE}::test_a_remote_that_was_away",
    "git push -u {} {}": f"{_HERE}::test_a_remote_without_a_commit",
    "gitops-ml history {} {}; or gitops-ml bump {} {} <version>": (
        f"{_HERE}::test_a_rollback_to_what_was_never_verified"
    ),
    "git -C {} restore --staged --worktree -- {}": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git -C {} fsck": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git fsck": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git ls-remote {}": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git rm --cached .dvc/config.local": (
        "tests/git/models/test_imports.py::test_this_clones_own_configuration_is_not_in_git"
    ),
    "correct its url, rev or credentials until this works: git ls-remote {}": (
        f"{_HERE}::test_commands_of_git_run_as_printed"
    ),
    "git ls-remote --tags {} '{}*'": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git show {}": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git worktree prune": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git config user.name": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git branch ANOTHER-NAME {}": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git push {} {}:refs/heads/ANOTHER-NAME": f"{_HERE}::test_commands_of_git_run_as_printed",
    "git config --global --add safe.directory {}": f"{_HERE}::test_commands_of_git_run_as_printed",
    "dvc remote modify {} url {}, commit and push .dvc/config, then dvc push": (
        f"{_DVC}::test_a_dvc_remote_at_a_file_url"
    ),
    "dvc push creates it; or mount it": f"{_DVC}::test_a_dvc_remote_that_is_not_there_yet",
    "restore the remote or the repository that it comes from, until this works: dvc pull {}": (
        f"{_DVC}::test_an_import_whose_source_is_gone"
    ),
    "correct its url or credentials (see dvc remote list) until this works: dvc pull -r {}": (
        f"{_DVC}::test_a_dvc_remote_that_does_not_answer"
    ),
    "dvc repro (or dvc add {}), then commit dvc.lock (or {}.dvc)": f"{_DVC}::test_a_model_that_no_commit_has",
    "commit the file itself, or: git rm -r --cached {} && dvc add {}": (
        f"{_DVC}::test_a_model_that_git_keeps_as_a_link_or_a_pointer"
    ),
    "git lfs untrack {}, then: git rm -r --cached {} && dvc add {}": f"{_DVC}::test_a_model_that_git_lfs_keeps",
    "remove what is broken, then dvc push {} from where it is whole (or dvc repro, dvc push)": (
        f"{_DVC}::test_an_object_that_is_broken_at_the_remote"
    ),
    "dvc push, then register again": f"{_DVC}::test_a_model_that_is_only_here",
    "dvc update {}, then commit it": f"{_DVC}::test_an_import_without_its_bytes",
    "git config --global user.name … (and user.email)": f"{_EDITS}::test_an_author_is_needed",
    "dvc remote add -d <name> <url>": f"{_EDITS}::test_a_dvc_remote_is_needed",
    "gitops-ml init --name <name>": f"{_EDITS}::test_a_folder_whose_name_is_no_projects_name",
    "gitops-ml bump ENV DEPLOYMENT latest, which writes the version that it is": (
        f"{_EDITS}::test_a_declaration_of_latest"
    ),
    "put the tag back, or take the new content: gitops-ml bump ENV DEPLOYMENT {}": (
        f"{_EDITS}::test_a_version_that_holds_something_else_now"
    ),
    "register a commit that has it: gitops-ml register {} --rev COMMIT": (
        f"{_EDITS}::test_a_tag_on_a_commit_without_the_model"
    ),
    "git remote add origin <url>": f"{_EDITS}::test_a_push_without_a_remote",
    "add `promotion: {from: <environment>}` to it, or gitops-ml bump {} {}": (
        f"{_EDITS}::test_a_promotion_into_what_nothing_is_promoted_into"
    ),
    "where nothing was pushed yet: git push -u {} {}; else: git remote set-head {} <branch>": (
        f"{_EDITS}::test_a_remote_that_does_not_say_its_main_branch"
    ),
    "git branch --set-upstream-to={}/<branch>": f"{_EDITS}::test_several_remotes",
    "git switch <branch>, or add a remote": f"{_EDITS}::test_no_branch_without_a_remote",
    "register a new version of it: gitops-ml register {}": f"{_EDITS}::test_a_version_that_was_taken_back",
    "{}; or gitops-ml promote {} --to {} --override REASON": f"{_EDITS}::test_a_promotion_before_its_soak_is_over",
    "gitops-ml doctor, which says what is missing; or edit that file": f"{_EDITS}::test_a_second_init",
    "git -C {} switch {}, then the same command with --commit; or another name": (
        f"{_EDITS}::test_a_branch_that_exists_already"
    ),
    "git pull --rebase, git push, then register again": (
        f"{_EDITS}::test_a_commit_that_went_another_way_than_the_remote"
    ),
    "git pull --rebase --autostash && {}; or --branch <name> and a pull request": (
        f"{_EDITS}::test_a_push_that_comes_second"
    ),
    "git commit": f"{_EDITS}::test_a_clone_without_a_commit",
    "git fetch, or git log --all": f"{_EDITS}::test_a_revision_that_nobody_has",
    "gitops-ml bump {} {} {}": f"{_COMMENT}::test_the_fixes_of_its_rules_work_as_printed",
    "gitops-ml release {} {}": f"{_COMMENT}::test_the_fixes_of_its_rules_work_as_printed",
    "git checkout {} -- {}": f"{_EDITS}::test_a_pull_request_that_edits_records",
    "gitops-ml history {} {}": f"{_EDITS}::test_a_promotion_of_what_is_not_verified",
    "git remote set-url origin <the repository's address>": f"{_EDITS}::test_a_remote_that_is_no_forge",
    "git -C {} commit {}": f"{_RECORDS}::test_an_edit_in_the_way_of_a_record",
    "commit or stash your changes: git -C {} status": f"{_RECORDS}::test_an_index_that_cannot_be_written",
    "git rebase --continue, or --abort": f"{_RECORDS}::test_a_branch_that_is_being_rebased",
    "git commit --allow-empty -S -m test shows it too": f"{_RECORDS}::test_a_signature_that_cannot_be_made",
    "gitops-ml rollback {} {}, as a pull request; or let this identity push to {}": (
        f"{_RECORDS}::test_a_revert_that_a_protected_branch_refuses"
    ),
    "let this identity push to {}, or set records: {branch: <name>} in environment.yaml; "
    "where a rule is on authors, sign-offs or signatures: gitops-ml doctor": (
        f"{_RECORDS}::test_a_record_that_a_rule_refuses"
    ),
    "sync where pushing is allowed (CI), or log in to the remote; where a rule is on authors: "
    "git config author.email <address>; on sign-offs: git config format.signOff true": (
        "tests/git/cli/test_doctor.py::test_a_rule_of_the_remote_is_met_by_doctor_and_its_fix_works"
    ),
    "dvc update --rev BRANCH FILE.dvc": f"{_DVC}::test_an_import_of_a_revision_that_git_would_take_for_an_option",
    "bring it in: dvc import-url, or make it the output of a stage": f"{_DVC}::test_a_model_outside_of_the_repository",
    "dvc repro --dry says more": f"{_DVC}::test_a_template_that_dvc_cannot_resolve",
    "dvc pull {}": f"{_DVC}::test_a_model_whose_bytes_are_not_here",
    "dvc add {}, or git add {}; then commit": f"{_DVC}::test_a_model_that_was_never_committed",
    "gitops-ml sync {} --rebind, if that is intended": (
        f"{_BAD_INPUT}::test_another_engine_than_recorded_is_refused_until_rebind"
    ),
    "gitops-ml sync {} --confirm-removals": f"{_REMOVALS}::test_the_last_deployment_is_removed_only_with_confirmation",
    "gitops-ml sync {} --retry": (
        "tests/e2e/delivery/test_rollout.py::test_a_failed_version_stays_in_quarantine_until_retry"
    ),
    "gitops-ml sync {}": f"{_VERIFY}::test_neither_an_undeclared_deployment_nor_a_stopped_replica_gets_a_verdict",
    "gitops-ml status {}": f"{_VERIFY}::test_neither_an_undeclared_deployment_nor_a_stopped_replica_gets_a_verdict",
    "`docker ps --filter publish={}` or `ss -ltnp 'sport = :{}'` on that host names it; stop "
    "it, or change gateway.port in environment.yaml": "tests/e2e/engine/test_engine.py::test_a_taken_port_is_named",
}
NOT_RUN_FOR = {
    "it acts on containers; the end-to-end tests run this command with these options": (
        "gitops-ml sync {}, unless an agent or a job does that",
        "gitops-ml sync {}, which judges it again",
        "gitops-ml plan {}",
        "gitops-ml verify {} {}",
        "gitops-ml status dev",
    ),
    "it looks into a model in a container, as tests/e2e/workflows/test_adopt.py does": (
        "correct it or train again, then gitops-ml check",
        "gitops-ml adopt",
        "gitops-ml adopt {}",
        "gitops-ml adopt; or name a path: gitops-ml check PATH",
        "gitops-ml adopt; or write one: see docs/serving.md",
        "gitops-ml check PATH",
        "name one of them, such as gitops-ml adopt {}/{}",
    ),
    "it runs or repairs the team's own pipeline or DVC data; what it changes differs in each repository": (
        "dvc add MODEL or git add MODEL, and commit; then gitops-ml adopt MODEL",
        "dvc repro train",
        "import it from the repository that makes it: dvc import URL PATH",
        "remove it, and register a version of a later commit; set it for this clone alone: "
        "dvc remote modify --local {} {} <value>",
        "dvc push it again",
        "dvc repro",
        "dvc commit {}",
        "dvc update {}.dvc, or dvc push it again from where it is right",
        "let DVC track the large ones: git rm -q --cached FILE && dvc add FILE",
        "dvc repro prepare",
        "dvc pull {}, or give --reference and --rows",
        "dvc pull {}, or collect it: dvc repro ingest",
        "dvc push, then again",
        "look at data and training (`dvc metrics diff`), or review evaluate in params.yaml",
        "add it to ingest.sources in params.yaml, then `dvc repro`",
    ),
    "it is a choice, a step of several, a look at what is wrong, or holds a value that only a person knows": (
        "gitops-ml bump ENV DEPLOYMENT {} --push",
        "fix what it says; `gitops-ml doctor` looks closer, and `journalctl -u docker` on that host says more",
    ),
    "it changes the machine or its Docker engine, or asks a package index": (
        "apt-get install git",
        "apt-get install gnupg",
        "apt-get install openssh-client",
        "lock with hashes: uv pip compile --generate-hashes --only-binary :all: --no-emit-index-url "
        "--python-version {} requirements.in -o requirements.txt",
        "make setup, in a clone of gitops-ml",
        "make setup",
        "free one of them, then: make demo",
        "git clone gitops-ml, then in the clone: make demo",
        "unset DOCKER_HOST, then: make demo",
        "pip install 'dvc>=3.60,<4'",
        "`gitops-ml sync` pulls it where that host reaches its registry; else, in a clone of gitops-ml: make setup",
        "docker info",
        "docker login {}, where gitops-ml runs, as somebody who may push there",
        "docker node ls, on a manager: one must be ready, active, and as large as `resources` of it",
        "name a manager in `engine:`, which `docker node ls` lists on any manager",
        "`docker system df` shows what fills it, `docker image prune` frees unused images",
        "`docker network prune` on that host frees those of unused networks; "
        "`default-address-pools` in its daemon.json allows more",
        "`make setup` in a clone of gitops-ml makes it; or let that host reach its registry",
        "docker logs {}",
        "pip install 'gitops-ml[notify]'",
        "pip install 'gitops-ml[stages]'",
        "pip install -r requirements/serving.txt",
        "install the lock, such as with pip install -r requirements.txt, and train again",
        "pip install uv; or lock elsewhere, and pass the file: save_model(…, requirements='requirements.txt')",
        "read the demo's log.txt; `gitops-ml demo` starts again",
        "read {}; `gitops-ml demo` starts again, and with --remove it removes everything",
    ),
}
"""The texts that no test runs, by the reason why."""
NOT_RUN = {template: reason for reason, templates in NOT_RUN_FOR.items() for template in templates}
