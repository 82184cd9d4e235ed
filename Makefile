# Needs only Python 3.11+ and make. `make` alone lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# No library phones home.
export DAGSTER_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true

.DEFAULT_GOAL := help
.PHONY: help run ui effect docs screenshots test lint format pin clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run ui: export FLYWHEEL_HOME ?= $(CURDIR)/data

run: $(INSTALLED) ## Turn the demo flywheel; results go to FLYWHEEL_HOME (default: data/).
	$(BIN)/flywheel demo

ui: $(INSTALLED) ## Open Dagster's web interface on FLYWHEEL_HOME.
	$(BIN)/flywheel ui

effect: $(INSTALLED) ## Measure what learning earns in a shop that changes; writes docs/effect.*.
	$(BIN)/python -m flywheel_benchmarks.effect

docs: $(INSTALLED) ## Build the documentation into build/site; a warning is an error.
	$(BIN)/python -m sphinx -W --keep-going -q -d build/site-state docs build/site
	@echo "Read it: build/site/index.html"

screenshots: $(INSTALLED) ## Take the docs' pictures of Dagster's pages, in the browser that tests them.
	mkdir -p docs/screenshots
	FLYWHEEL_SCREENSHOTS=docs/screenshots $(BIN)/pytest flywheel_tests/test_browser.py

test: lint ## Everything CI checks: format, lint, types, layers, tests.
	$(BIN)/pytest --numprocesses auto --dist loadgroup

lint: $(INSTALLED) ## Check format, lint, types and layers, without the tests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code and apply the safe lint fixes.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

pin: ## Recompute .ci/requirements.txt (needs uv; PIN_FLAGS=--upgrade takes newer versions).
	uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes \
		--custom-compile-command 'make pin' \
		$(PIN_FLAGS) pyproject.toml --output-file .ci/requirements.txt > /dev/null

clean: ## Remove the virtual environment and the caches; data/ stays.
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find flywheel_assets flywheel_tests -type d -name __pycache__ -prune -exec rm -rf {} +

# The pinned file is complete, hence --no-deps: pip has nothing to resolve. It holds the build
# backend too, so the package itself installs without fetching anything.
$(INSTALLED): pyproject.toml .ci/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	@rm -f $@
	$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the pinned packages into $(VENV) (a minute or two the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r .ci/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation --editable .
	@touch $@
