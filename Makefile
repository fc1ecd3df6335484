# Everything a developer types. A bare `make` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help agent-image demo test chaos check lint unit bench docs clean setup format lock
bin := .venv/bin
scripts := setup/lib.sh setup/venv setup/engine setup/images $(wildcard setup/recipes/*) setup/services .ci/run .github/action/install .github/action/run $(wildcard gitops_ml/clients/gateway/scripts/*.sh)
JOBS ?= 4
# Each worker of a test run imports all files that it is given: half a minute for all of tests/.
alone = $(shell grep -rl --include='*.py' pytest.mark.alone tests)
# pytest keeps the tests that it has compiled. Where this is set, each of its workers would compile them all again.
unexport PYTHONDONTWRITEBYTECODE

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup  ## train, serve, replace, catch a bad version, heal: on real data, in a scratch clone
	@$(bin)/gitops-ml demo

test: setup  ## all tests, on a real engine: about half an hour. ARGS='-k rollout' selects some
	@setup/services
	@$(bin)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m 'not alone and not chaos' $(ARGS) || [ $$? -eq 5 ]
	@$(bin)/pytest -n 2 -m alone $(or $(ARGS),$(alone)) || [ $$? -eq 5 ]

chaos: setup  ## kill it at each mutation of each scenario; docs/reliability.md. ARGS='-k canary' selects some
	@$(bin)/pytest -n $(JOBS) -m chaos tests/e2e/chaos $(ARGS) || code=$$?; $(bin)/python -m tests.e2e.chaos.results; exit $${code:-0}

# mypy keeps one core busy for a while; unit tests take what is left of both.
check: .venv  ## `lint` and `unit` side by side: under a minute
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit

lint: .venv  ## format, lint, types, layers, shell scripts, docs
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo
	@$(bin)/shellcheck -x $(scripts)
	@NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs build --quiet --strict

unit: .venv  ## unit tests; of long property tests a part
	@QUICK_TESTS=1 $(bin)/pytest -q -n 3 --dist worksteal tests/unit

bench:  ## list the measurements; NAME=<one of them> runs it
	@setup/bench $(NAME)

agent-image: setup  ## the agent as an image, gitops-ml/agent:<version>, built here and tried
	@$(bin)/python setup/agent_image.py

docs: .venv  ## build docs/ as a site into build/site; any warning is an error
	@NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs build --quiet --strict

clean:  ## remove what these targets created in this folder; keeps the engine and its images
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist .run/*.log
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: .venv  ## virtual environment, Docker engine, base images; keeps what exists
	@setup/engine
	@setup/images

format:  ## format the sources
	@$(bin)/ruff format .
	@$(bin)/ruff check --fix .

lock: .venv  ## resolve requirements/*.txt again, with hashes. UPGRADE=1 takes the newest versions
	@setup/lock $(if $(UPGRADE),--upgrade)

.PHONY: .venv
.venv:
	@setup/venv
