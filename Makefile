# Everything runs in .venv, which is made on first use and made anew when a dependency changes.
PYTHON ?= python3
VENV := .venv

ifeq ($(OS),Windows_NT)
SCRIPTS := Scripts
else
SCRIPTS := bin
endif
BIN := $(VENV)/$(SCRIPTS)

INSTALLED := $(VENV)/installed

# Compiled once, where this is set to 1: the tests start many processes.
export PYTHONDONTWRITEBYTECODE :=

# What builds the package, and an environment with the package and its dependencies alone.
PACKAGE_VENV := $(VENV)/package
PACKAGER := $(PACKAGE_VENV)/$(SCRIPTS)/python
CLEAN_VENV := $(PACKAGE_VENV)/clean

.PHONY: demo test lint types tests format docs openapi package mcpb sbom conformance clients bench lock clean

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
docs: $(INSTALLED) openapi
	$(BIN)/python -m tests.generate

# The API as an OpenAPI document, docs/openapi.json.
openapi: $(INSTALLED)
	$(BIN)/python -m tests.openapi

# What the next three drive the server with comes from npm and PyPI into a folder that git ignores.
PEERS := .peers
INSTALL_PEER = $(PYTHON) -c "import os, shutil; os.makedirs('$(@D)', exist_ok=True); shutil.copy('$<', '$(@D)')"

# The official conformance suite, over HTTP.
conformance: $(INSTALLED) $(PEERS)/conformance/installed
	$(BIN)/python -m conformance.run

# Other people's clients, over stdio and HTTP.
clients: $(INSTALLED) $(PEERS)/clients/installed $(PEERS)/clients/python_sdk_1/installed $(PEERS)/clients/fastmcp_client/installed
	$(BIN)/python -m clients.run

$(PEERS)/clients/%/installed: clients/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/$(SCRIPTS)/python -m pip install --quiet --disable-pip-version-check --requirement $<
	$(PYTHON) -c "open('$@', 'w').close()"

$(PEERS)/%/installed: %/package.json
	$(INSTALL_PEER)
	npm install --prefix $(@D) --no-audit --no-fund --loglevel=error
	$(PYTHON) -c "open('$@', 'w').close()"

# The server beside a minimal one and FastMCP's proxy, on Linux. ARGS=--help shows the options.
bench: $(INSTALLED) $(PEERS)/clients/fastmcp_client/installed
	$(BIN)/python -m benchmarks.run $(ARGS)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed: make PYTHON=...')"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	$(PYTHON) -c "open('$(INSTALLED)', 'w').close()"

# The wheel and the sdist in dist/: built, checked, installed where nothing else is, and used by a client.
package: $(PACKAGE_VENV)/installed
	$(PYTHON) -c "import shutil; shutil.rmtree('dist', ignore_errors=True)"
	$(PACKAGER) -m build --no-isolation --outdir dist .
	$(PACKAGER) -m twine check --strict dist/*.whl dist/*.tar.gz
	$(PYTHON) -m venv --clear --without-pip $(CLEAN_VENV)
	$(PACKAGER) -m pip --python $(CLEAN_VENV) install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	$(BIN)/python -m tests.package client $(CLEAN_VENV)/$(SCRIPTS)/scp-aimlops-mcp

# The bundle for Claude Desktop.
mcpb: $(INSTALLED)
	$(BIN)/python mcpb/build.py dist/scp-aimlops-mcp.mcpb

# What the package brings with it, as a CycloneDX bill of materials.
sbom: package
	$(PACKAGER) -m cyclonedx_py environment --pyproject pyproject.toml --output-reproducible --validate \
		--output-file dist/scp-aimlops-mcp.cdx.json $(CLEAN_VENV)/$(SCRIPTS)/python
	$(BIN)/python -m tests.package sbom dist/scp-aimlops-mcp.cdx.json

$(PACKAGE_VENV)/installed: $(INSTALLED)
	$(PYTHON) -m venv --clear $(PACKAGE_VENV)
	$(PACKAGER) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$$($(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['package'])")
	$(PYTHON) -c "open('$(PACKAGE_VENV)/installed', 'w').close()"

# Resolves the newest versions that pyproject.toml allows and pins all of them.
lock:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,package]"
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt
	$(PYTHON) -c "open('$(INSTALLED)', 'w').close()"

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(d, ignore_errors=True) for d in ('$(VENV)', 'dist')]"
