# `make demo` and `make test` do all the set-up; nothing but Python 3.11 or newer, make and a package registry is needed.
PYTHON ?= $(shell for p in python3.11 python3 python3.12; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint check bench soak clean help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 10

# Python keeps what it has compiled, also where it is told not to (images for containers often do): the app takes 1.7 s of a
# core to start, and three times that when each start compiles it anew. The tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

# Found by a line in a .pth file: setuptools' import hook for such installations costs each start some 15 ms.
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt \
	--config-settings editable_mode=compat

# What the app needs, so that a demo starts soon; what the tests need beside it comes when it is needed.
$(VENV)/.app: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Syncline needs Python 3.11 or newer; name it with: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "setting up $(VENV) with $(PYTHON) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@touch $@

$(VENV)/.ready: $(VENV)/.app
	@$(PIP) -e '.[test]'
	@touch $@

demo: $(VENV)/.app  ## the app on a generated company, over loopback servers
	$(BIN)/syncline demo --fresh

lint: $(VENV)/.ready  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint  ## lint, then all tests
	$(BIN)/pytest -n auto --dist worksteal

check: test  ## the same as test

bench: $(VENV)/.app  ## measures; prints a table and writes benchmarks/latest.json
	$(BIN)/python -m benchmarks

# How far `make soak` goes: seeds of the simulation, kills, and minutes for each of the two at most; RUNS of each disk fault
# (empty: every operation of the ledger). What fails is repeated by its number: python -m tests.simulation --seeds 17:18,
# python -m tests.acceptance.kills --seed 1017 --kills 25.
SEEDS ?= 1000000
KILLS ?= 1000
MINUTES ?= 60
RUNS ?=
CORES := $(shell getconf _NPROCESSORS_ONLN)

soak: $(VENV)/.ready  ## long proofs, and docs/reliability.md from their figures; SEEDS=1000000 KILLS=1000 MINUTES=60
	@mkdir -p build; status=0; set -x; \
	$(BIN)/python -m tests.simulation --seeds 0:$(SEEDS) --jobs $(CORES) --minutes $(MINUTES) --figures build/simulation.json || status=1; \
	$(BIN)/python -m tests.acceptance.kills --kills $(KILLS) --minutes $(MINUTES) --json build/kills.json || status=1; \
	$(BIN)/python -m tests.sync.disk_faults $(if $(RUNS),--runs $(RUNS)) --json build/disk.json || status=1; \
	$(BIN)/python -m tests.simulation.gate --points build/points.json --mutants build/mutants.json || status=1; \
	$(BIN)/python -m tests.soak --simulation build/simulation.json --kills build/kills.json --disk build/disk.json \
		--points build/points.json --mutants build/mutants.json || status=1; \
	exit $$status

clean:  ## removes what make has made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
