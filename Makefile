# `make demo` and `make test` are all a newcomer needs; each makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo

.PHONY: setup demo serve-demo screenshots chromium test test-all docs lint test-slow test-ray bench bench-entities bench-mining mining-yield bench-training experiments experiments-unseen experiments-five-seeds experiments-controls experiments-prior experiments-pretrained experiments-sensitivity experiments-steps experiments-errors experiments-full real clean

setup: $(STAMP)

# torch goes first and by its range, so that no other package pulls a newer build with it.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "torch>=2.8,<2.14"
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $(STAMP)

demo: setup
	$(BIN)/medtrim demo --output $(DEMO)

$(DEMO)/results.json:
	$(MAKE) demo

# The demo's test split as a searchable archive in the browser; the address is printed. Ctrl+C ends it.
serve-demo: setup $(DEMO)/results.json
	test -e $(DEMO)/index/index.json || $(BIN)/medtrim index $(DEMO)/runs/medtrim/model $(DEMO)/corpus/studies.parquet -o $(DEMO)/index --split test
	$(BIN)/medtrim serve $(DEMO)/index

# docs/search-page.png and docs/search-viewer.png, of phantoms.
screenshots: setup chromium
	$(BIN)/python scripts/search_screenshots.py $(DEMO)/index

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The browser tests want Debian's Chromium; where it is not there and cannot be installed they are skipped and say so.
chromium:
	-scripts/install-chromium

# By file, in their order: what a file's tests share is made once. The processes that tests start read compiled code.
PYTEST_FAST := -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not gpu and not ray"
test test-all: export PYTHONDONTWRITEBYTECODE :=
test: lint chromium
	$(BIN)/pytest $(PYTEST_FAST)

# Needs uv; of the interpreters those that are installed, the others are named and passed over.
test-all:
	@command -v uv > /dev/null || { echo "make test-all needs uv (pip install uv)"; exit 1; }
	@for version in 3.11 3.12 3.13; do \
		if uv python find --no-python-downloads $$version > /dev/null 2>&1; then \
			echo "== Python $$version"; \
			uv run --isolated --no-project --no-python-downloads --python $$version --with-editable ".[test]" \
				python -m pytest -q $(PYTEST_FAST) || exit 1; \
		else echo "== Python $$version is not installed: not tested"; fi; \
	done

# Strict: a dead link or a public name that is not documented fails. The site goes to site/.
docs: setup
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	$(BIN)/pytest -q tests/library/test_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# And every property test on thousands of new random examples; `make test` has the same ones each time.
test-slow: setup chromium
	$(BIN)/pytest -m "slow or hypothesis" --hypothesis-profile thorough

# Eleven methods, three seeds, judged on a second generator too; about an hour on two quiet cores.
experiments: setup
	$(BIN)/medtrim experiment readme --output runs/experiments
	$(BIN)/python -m research suite runs/experiments --docs docs/results.md

# Four of the methods alone, judged on a second generator; about 25 minutes on two quiet cores.
experiments-unseen: setup
	$(BIN)/medtrim experiment unseen --output runs/experiments-unseen
	$(BIN)/python -m research suite runs/experiments-unseen --docs docs/results.md

# The README's table and the first section of docs/results.md: the same with five seeds; about 75 minutes on two quiet cores.
experiments-five-seeds: setup
	$(BIN)/medtrim experiment readme --seed 0 --seed 1 --seed 2 --seed 3 --seed 4 --output runs/experiments-five-seeds
	$(BIN)/python -m research suite runs/experiments-five-seeds --into README.md --docs docs/results.md

# The objective and the sampling apart, five seeds; about 25 minutes.
experiments-controls: setup
	$(BIN)/medtrim experiment controls --output runs/experiments-controls
	$(BIN)/python -m research suite runs/experiments-controls --docs docs/results.md

# The same methods with the prior of readings that MedTrim's objective learns with; about 50 minutes on two quiet cores.
experiments-prior: setup
	$(BIN)/medtrim experiment prior --output runs/experiments-prior
	$(BIN)/python -m research suite runs/experiments-prior --docs docs/results.md

# The same methods from encoders that InfoNCE has trained, three seeds; about an hour.
experiments-pretrained: setup
	$(BIN)/medtrim experiment pretrained --output runs/experiments-pretrained
	$(BIN)/python -m research suite runs/experiments-pretrained --docs docs/results.md

# One thing changed at a time: the score's weights, sampling, mining, mistakes of the recogniser; one seed, about an hour.
experiments-sensitivity: setup
	$(BIN)/medtrim experiment sensitivity --output runs/experiments-sensitivity
	$(BIN)/python -m research suite runs/experiments-sensitivity --docs docs/results.md

# Hours: the gap over steps (1, 2, 4 and 8 times the table's), and a recogniser's mistakes over five seeds.
experiments-steps: setup
	$(BIN)/medtrim experiment steps --output runs/experiments-steps
	$(BIN)/python -m research suite runs/experiments-steps --docs docs/results-steps.md

experiments-errors: setup
	$(BIN)/medtrim experiment errors --output runs/experiments-errors
	$(BIN)/python -m research suite runs/experiments-errors --docs docs/results-errors.md

# Every method with its tuning and five seeds: hours.
experiments-full: setup
	$(BIN)/medtrim experiment full --output runs/experiments-full

# Zone scores by radiologists against models trained on phantoms; DATA holds manifest.csv and images (docs/real-data.md).
DATA ?= ../shared/data/covid_cxr
real: setup
	$(BIN)/python -m research zones --data $(DATA) --output runs/real --into docs/real-data.md --summary README.md

# Ray is large and nobody without a cluster needs it, so it is installed for its own tests only.
test-ray: setup
	$(BIN)/python -m pip install --quiet --editable ".[test,ray]"
	$(BIN)/pytest -m ray

bench-entities: setup
	$(BIN)/python benchmarks/bench_entities.py

bench-mining: setup
	@for script in benchmarks/bench_mining*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

mining-yield: setup
	$(BIN)/python benchmarks/mining_yield.py

bench-training: setup
	$(BIN)/python benchmarks/bench_training.py

bench: setup
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) $(DEMO) site .pytest_cache .mypy_cache .ruff_cache .hypothesis
