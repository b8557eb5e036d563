# What a newcomer, a developer and CI do, one word each. `make` alone lists the words.
# Every target makes .venv first when it has to; the second time that costs nothing.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
DEMO   := runs/coast
# processes that run tests side by side; each computes on one thread
JOBS   ?= 2
# `make lock LOCK_FLAGS=--upgrade` moves every pin to the newest version
LOCK_FLAGS ?=

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-slow lint format bench lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install everything at the versions of requirements.lock
	@echo "goldseam is installed: $(BIN)/goldseam --help"

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "goldseam needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
	    echo "  remedy: name another one, as in: make setup PYTHON=python3.12"; exit 2; } >&2
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing goldseam and its dependencies into $(VENV); the first time takes two minutes."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile \
	    --constraint requirements.lock --editable '.[demo,dev]'
	@# on all cores, where pip would use one; it fails on templates of others that are no Python
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	@touch $@

demo: $(STAMP) ## run the whole pipeline on real satellite images; leaves runs/coast/index.html
	@# its last lines say where to look: the page, and how to start MLflow
	@$(BIN)/goldseam run coast --out $(DEMO)

test: $(STAMP) ## run the tests, all but the slow ones; coverage by line: build/coverage/index.html
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist worksteal -m "not slow" \
	    --cov --cov-report=html:build/coverage

test-slow: $(STAMP) ## run the tests that train for minutes
	@$(BIN)/pytest -m slow

lint: $(STAMP) ## check style, types, the arrows between packages, generated pages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@if test -f components/readme.py; then $(BIN)/python -m components.readme --check; fi

format: $(STAMP) ## put the code into the house's form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP) ## run every benchmark in its quick form
	@set -e; for script in $$(grep -l __main__ benchmarks/*.py); do \
	    echo "$$script"; $(BIN)/python "$$script" --quick; done

lock: ## resolve requirements.lock again (needs uv); moves only the pins that have to
	@uv pip compile pyproject.toml --all-extras --python-version 3.11 --quiet --no-annotate \
	    --custom-compile-command "make lock" $(LOCK_FLAGS) --output-file requirements.lock
	@# which build of torch, and the packages of its accelerator, is the machine's affair
	@sed -E -i.old -e 's/[+](cpu|cu[0-9]+)$$//' -e '/^(nvidia|cuda|triton)/d' requirements.lock
	@rm requirements.lock.old

clean: ## remove caches and built files; keeps .venv and runs
	@rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@rm -f .coverage .coverage.*
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
