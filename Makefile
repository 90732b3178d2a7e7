# Needs Python 3.11 or newer and make, nothing else; everything is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
.DEFAULT_GOAL := help

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "jobrunner needs Python 3.11 or newer; set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.PHONY: help run test chaos mutate fuzz bench check format clean
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## Start the daemon on the example jobs.yaml with the embedded server
	@$(BIN)/jobrunner run --file jobs.yaml

# In the order of the folders: the longest, of few tests, come first.
test: $(STAMP) ## Run all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

fuzz: $(STAMP) ## Try bad input of every kind: tens of thousands of tries, in some minutes
	@JOBRUNNER_FUZZ=full $(BIN)/python -m pytest tests/fuzz --numprocesses auto

mutate: $(STAMP) ## Drop each check of each script in turn: a test must notice
	@$(BIN)/python -m tests.mutation

chaos: $(STAMP) ## Play the whole fault suite, up to 20 minutes; writes docs/reliability.md
	@$(BIN)/jobrunner chaos --own-server --full --report docs/reliability.md

bench: $(STAMP) ## Measure jobrunner and its peers side by side, for docs/performance.md
	@$(BIN)/python -m benchmarks

check: $(STAMP) ## Check format, lint, types and layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet tests/test_layers.py

format: $(STAMP) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean: ## Remove what make made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
