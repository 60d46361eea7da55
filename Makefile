# Two commands do all: `make up` runs three peers here, `make test` passes every check.
# Neither needs root, nor anything but Python 3.11 or newer, make and a C library.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: clients help up test lint types layers check deep deep-world deep-daemons bench lab lab-full clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

up: $(VENV)/run.stamp ## Run three peers on this machine (ports 7480, 7490, 7500); Ctrl-C stops them
	@exec $(BIN)/crdtstate up

clients: $(VENV)/clients/stamp ## Fetch kubectl (1.37 and 1.20), helm, etcd and the JavaScript client

test: $(VENV)/dev.stamp clients lint types layers check ## Run every check and every test but the deep ones

lint: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell README.md CHANGELOG.md docs crdtstate gossip controllers

types: $(VENV)/dev.stamp
	$(BIN)/mypy

layers: $(VENV)/dev.stamp
	$(BIN)/lint-imports --no-cache

check: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -q -rs -m "not deep" -n 2 --dist loadfile

deep: deep-world deep-daemons ## Run what needs hours: first the simulated world, then real daemons

DEEP := HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -q -rf -rs -m deep -n 2 --dist loadfile
REAL := tests/controllers tests/e2e tests/kube

deep-world: $(VENV)/dev.stamp ## Run 3,100 seeds, the whole zoo, mutants, models, 60,000 recoveries (an hour)
	$(DEEP) $(addprefix --ignore=,$(REAL))

deep-daemons: $(VENV)/dev.stamp clients ## Run 200 kills, long informers and fuzzing, 300 stories of controllers (40 minutes)
	$(DEEP) $(REAL)

bench: $(VENV)/dev.stamp ## Measure: puts, visibility, bytes, memory, restart, catch-up
	$(BIN)/python -m bench.run

lab: $(VENV)/dev.stamp clients ## Run the laboratory beside a real etcd (12 minutes) and write its report
	$(BIN)/python -m bench.caplab.run quick

lab-full: $(VENV)/dev.stamp clients ## Run all of the laboratory: long cuts, slow links, a million keys (75 minutes)
	$(BIN)/python -m bench.caplab.run full

clean: ## Remove what the other commands made
	rm -rf $(VENV) .crdtstate .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "crdtstate needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(PIP) install --quiet -c .ci/constraints.txt -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(PIP) install --quiet -c .ci/constraints.txt --group dev
	@touch $@

$(VENV)/clients/stamp: .ci/get_clients.sh | $(VENV)/bin/python
	@PYTHON=$(BIN)/python .ci/get_clients.sh $(VENV)/clients
