.DEFAULT_GOAL := help
.PHONY: help setup dev demo demo-day run test test-all chaos bench load evals lint type fmt lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q -n auto --maxprocesses 4
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PACKAGES := api graph kb prompts tools

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))' || { echo "kefu needs Python 3.11 to 3.13; set PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "installing the locked dependencies into $(VENV) …"
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.lock
	@echo "installing the locked development dependencies …"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(VENV)/ready ## Make .venv with the locked dependencies

dev: $(VENV)/ready-dev ## The same, with the tools for tests, lint and types

demo: setup ## Play a whole conversation on this machine (KEEP=1 leaves it running)
	@$(BIN)/kefu demo $(if $(KEEP),--keep)

demo-day: setup ## Play a whole day: customers, tickets, three agents, learned answers (ARGS="--customers 80 --seed 2")
	@$(BIN)/kefu demo --day $(ARGS)

run: setup ## Serve with the settings in .env
	@$(BIN)/kefu serve

test: dev ## Every test that needs no browser
	@$(PYTEST)

test-all: dev ## The same with the coverage gates
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-fail-under=90
	@$(BIN)/coverage report --include='graph/*' --fail-under=100

chaos: dev ## Kill, break and restart everything while 200 customers write (ARGS="--seed 2")
	@$(BIN)/python tests/chaos/run.py $(ARGS)

bench: dev ## Speed against the floors, in one run (ARGS="--quick --json FILE")
	@$(BIN)/python tests/bench/run.py $(ARGS)

load: dev ## Half of its capacity for ten minutes: no message without an answer, flat memory (ARGS="--minutes 2")
	@$(BIN)/python tests/bench/endurance.py $(ARGS)

evals: dev ## How right the bot is on labelled messages (EVAL_DIR=folder of more sets, ARGS="--record")
	@$(BIN)/python tests/evals/run.py $(ARGS)

lint: dev ## Style, import direction
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports

type: dev ## Types
	@$(BIN)/mypy

fmt: dev ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## Write the locks anew (needs uv)
	@uv pip compile pyproject.toml --group build --group dev --universal --generate-hashes --no-emit-index-url -q -o requirements-dev.lock
	@uv pip compile pyproject.toml --group build -c requirements-dev.lock --universal --generate-hashes --no-emit-index-url -q -o requirements.lock

clean: ## Remove what the targets made
	@rm -rf $(VENV) .kefu .langgraph_api .mypy_cache .pytest_cache .ruff_cache
