# Needs GNU make and Python 3.11 or newer. Another interpreter: make test PYTHON=python3.13

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m
PIP := $(RUN) pip --quiet --no-input --disable-pip-version-check install

.PHONY: help demo test check clean

help:
	@echo "make demo    set up and run example_envs/quickstart.evals.toml against the demo server"
	@echo "make test    set up and run the linter, the type checker and the tests"
	@echo "make check   the linter and the type checker alone"
	@echo "make clean   remove the virtual environment, caches and builds; results in outputs/ stay"

demo: $(VENV)/.installed
	$(RUN) pytest example_envs/quickstart.evals.toml

test: check
	$(RUN) pytest -n auto --maxprocesses 4 --dist worksteal

check: $(VENV)/.installed-dev
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

clean:
	rm -rf $(VENV) build dist evals.xml .coverage .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last, so a step that failed is repeated by the next make.
$(VENV)/.created:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "$(PYTHON): not found; name a Python 3.11 or newer: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); Python 3.11 or newer is needed:" \
	        "make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Setting up $(VENV)"
	@"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.created
	@echo "Installing the package and what it depends on"
	@$(PIP) --editable .
	@touch $@

# Dependency groups need pip 25.1; Python 3.11 to 3.13 bring older ones.
$(VENV)/.installed-dev: pyproject.toml $(VENV)/.installed
	@echo "Installing the tools for development"
	@$(PIP) --upgrade 'pip>=25.1'
	@$(PIP) --group dev
	@touch $@
