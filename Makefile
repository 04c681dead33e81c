# `make demo` and `make test` are all a newcomer needs; each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo

.PHONY: setup demo test lint bench test-slow clean

setup: $(STAMP)

# torch goes first and by its range, so that no other package pulls a newer build with it.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "torch>=2.8,<2.14"
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $(STAMP)

demo: setup
	$(BIN)/medtrim demo --output $(DEMO)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n 2 -m "not slow and not gpu and not ray"

test-slow: setup
	$(BIN)/pytest -m slow

bench: setup
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
