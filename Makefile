# The one list of commands.  `make help` prints it.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: help demo demo-seed test test-all bench lint format types bare docs coverage matrix clean
.DEFAULT_GOAL := help

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml requirements-dev.txt
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || ($(PYTHON) -m pip install -q virtualenv && $(PYTHON) -m virtualenv -q $(VENV))
	@$(BIN)/python -m pip install -q -r requirements-dev.txt -e .
	@touch $@

demo:  ## the main job on something real: a live game server, fixed while 300 players act (one minute, no install)
	@PYTHONPATH=src:examples $(PYTHON) examples/arena/demo.py

test: $(STAMP)  ## all tests, with live children on every Python from 3.10 to 3.15 that is found
	$(BIN)/python -m pytest -n 2

bench: $(STAMP)  ## every benchmark, short; each prints a table with its peers
	$(BIN)/python bench/run.py --quick

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check src tests bench examples/arena

format: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format src tests bench examples/arena

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

bare:  ## the target side with the standard library alone, in isolated mode
	$(PYTHON) -I -S -c "import sys; sys.path.insert(0, 'src'); import suture, suture.engine.process, suture.hotfix, suture.report; print('bare: ok')"

docs: $(STAMP)  ## every finding code, verb and link in the docs is checked
	$(BIN)/python -m pytest tests/test_docs.py

coverage: $(STAMP)  ## branch coverage of the target side, combined over the Pythons present; 95 % or more
	$(BIN)/python tests/coverage_run.py

matrix: $(STAMP)  ## the tests on each Python, by nox
	$(BIN)/nox

clean:  ## remove what these commands made
	rm -rf $(VENV) .nox .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* bench/.venv
