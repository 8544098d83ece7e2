# `make demo` and `make test` do all the set-up; nothing but Python 3.11+, make and a package registry is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint check bench soak clean

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: $(VENV)/.ready  ## the app on a generated company, over loopback servers
	$(BIN)/syncline demo --fresh

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint  ## lint, types, layers and all tests
	$(BIN)/pytest -n auto

check: test

bench: $(VENV)/.ready  ## prints a table and writes benchmarks/latest.json
	$(BIN)/python -m benchmarks

soak: $(VENV)/.ready  ## long proofs; prints its figures
	$(BIN)/python -m tests.soak

clean:
	rm -rf $(VENV) build dist *.egg-info
