# Everything a machine with git, make and Python 3.11 needs; `make` lists the targets.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help demo up down status test lint ci format bench lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## One organisation, real claims through the whole chain; leaves the system up
	@$(PY) -m ledgerbus demo run

up: $(READY) ## Start Kafka, PostgreSQL and the services
	@$(PY) -m ledgerbus up

down: $(READY) ## Stop everything; the state stays
	@$(PY) -m ledgerbus down

status: $(READY) ## What runs, and whether it is ready
	@$(PY) -m ledgerbus status

test: $(READY) ## All tests, against real Kafka and PostgreSQL
	@$(PY) -m pytest

lint: $(READY) ## Style, formatting, types, and who may import whom
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

ci: lint test ## What decides whether a change may go in

format: $(READY) ## Put the code into its one form
	@$(VENV)/bin/ruff format
	@$(VENV)/bin/ruff check --fix-only

bench: $(READY) ## Throughput and latency, against the floor and the usual way
	@$(PY) -m bench

lock: ## Resolve the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--quiet --output-file requirements.lock

clean: ## Stop everything and delete the state and the virtual environment
	@if [ -e $(READY) ]; then \
		LEDGERBUS_HOME=.local/tests $(PY) -m ledgerbus down --delete --yes && \
		$(PY) -m ledgerbus down --delete --yes; \
	elif [ -e .local ]; then \
		echo "make: .local stays: without $(VENV) nothing knows what runs there; make status brings it back" >&2; \
	fi
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@
