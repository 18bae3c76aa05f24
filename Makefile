# Everything runs in .venv, which is made on first use and made anew when a dependency changes.
PYTHON ?= python3
VENV := .venv

ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif

INSTALLED := $(VENV)/installed

.PHONY: demo test lint types tests format docs lock clean

demo: $(INSTALLED)
	$(BIN)/scp-aimlops-mcp demo

test: lint types tests

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/basedpyright

tests: $(INSTALLED)
	$(BIN)/python -m pytest

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes the generated parts: the tables of the README and the snapshots of the tools.
docs: $(INSTALLED)
	$(BIN)/python -m tests.generate

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed: make PYTHON=...')"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(PYTHON) -c "open('$(INSTALLED)', 'w').close()"

# Resolves the newest versions that pyproject.toml allows and pins all of them.
lock:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt
	$(PYTHON) -c "open('$(INSTALLED)', 'w').close()"

clean:
	$(PYTHON) -c "import shutil; shutil.rmtree('$(VENV)', ignore_errors=True)"
