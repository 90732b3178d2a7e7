# Needs Python 3.11 or newer and make, nothing else; everything is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NEWEST := .venv-newest
PIP    := -m pip --quiet --disable-pip-version-check
.DEFAULT_GOAL := help

# Exactly the versions that were tested. Without build isolation, which would take the newest
# setuptools whatever the lock says.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "jobrunner needs Python 3.11 or newer; set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) install --constraint constraints.txt setuptools
	$(BIN)/python $(PIP) install --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

.PHONY: help run test newest lock chaos mutate fuzz bench check format clean
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## Start the daemon on the example jobs.yaml with the embedded server
	@$(BIN)/jobrunner run --file jobs.yaml

# In the order of the folders: the longest, of few tests, come first.
test: $(STAMP) ## Run all tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

newest: ## Run all tests with the newest versions that the ranges allow
	@$(MAKE) --no-print-directory $(NEWEST)
	@$(NEWEST)/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: $(NEWEST)
$(NEWEST):
	$(PYTHON) -m venv --clear $@
	$@/bin/python $(PIP) install --upgrade setuptools
	$@/bin/python $(PIP) install --no-build-isolation --editable '.[dev]'

lock: $(NEWEST) ## Write the newest versions that the ranges allow to constraints.txt
	@{ sed -n '/^#/p' constraints.txt; $(NEWEST)/bin/python -m pip freeze --all --exclude pip --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt

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
	rm -rf $(VENV) $(NEWEST) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
