# The one list of commands.  `make help` prints it.
# Needs Python >= 3.10, pip, make, git; what else it needs, it puts into $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed

.PHONY: help demo demo-web test long bench releases releases-few replay lint format types bare docs coverage matrix clean
.DEFAULT_GOAL := help

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST)

# Some systems ship Python without ensurepip, so that venv fails half-way, and forbid pip outside of a venv: then virtualenv from a
# folder of its own.
MAKE_VENV = $(PYTHON) -m venv $(1) >/dev/null 2>&1 || ( rm -rf $(1) && $(PYTHON) -m pip install -q --target $(VENV)-tools virtualenv && \
	PYTHONPATH=$(VENV)-tools $(PYTHON) -m virtualenv -q $(1) )

$(STAMP): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}" if sys.version_info < (3, 10) else 0)'
	@$(call MAKE_VENV,$(VENV))
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt -e .
	@touch $@

demo:  ## the main job on something real: a live game server, fixed while 300 players act (one minute, no install)
	@PYTHONPATH=src:examples $(PYTHON) examples/arena/demo.py

WEB_VENV = examples/web/.venv
WEB_STAMP = $(WEB_VENV)/.installed
$(WEB_STAMP): examples/web/requirements.txt
	@$(call MAKE_VENV,$(WEB_VENV))
	@$(WEB_VENV)/bin/python -m pip install -q --disable-pip-version-check -r examples/web/requirements.txt
	@touch $@

demo-web: $(WEB_STAMP)  ## the same behind gunicorn, uvicorn and Celery: every worker, and those that start later (two minutes; PARTS="preload celery")
	@PYTHONPATH=src $(WEB_VENV)/bin/python examples/web/demo.py $(PARTS)

test: $(STAMP)  ## all tests, with live children on every Python from 3.10 to 3.15 that is found
	$(BIN)/python -m pytest -n 2 $(ARGS)

long: $(STAMP)  ## 200 processes killed in the midst of an apply over 8, as many of a revert, and 64 patched by one command; prints figures and the seed
	SUTURE_LONG=1 $(BIN)/python -m pytest -s tests/live/test_together.py tests/live/test_revert_together.py -k "killed_at_any_step or 64_processes" $(ARGS)

bench: $(STAMP)  ## every benchmark, short; each prints a table with its peers
	$(BIN)/python bench/run.py --quick

releases: $(STAMP)  ## adjacent releases of other people's distributions through build, a live process and drift (a quarter of an hour; ARGS="--only flask")
	$(BIN)/python bench/releases.py $(ARGS)

replay: $(STAMP)  ## other people's fixes on a live process, beside the peers; skipped unless SUTURE_REPLAY and REPLAY_MIRRORS say where they are
	$(BIN)/python bench/replay.py $(ARGS)

releases-few: $(STAMP)  ## six of them, under a minute once they are fetched; skipped by name offline
	$(BIN)/python bench/releases.py --few $(ARGS)

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check src tests bench examples/arena examples/web

format: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format src tests bench examples/arena examples/web

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

bare:  ## the target side with the standard library alone, in isolated mode
	@$(PYTHON) -I -S -c "import sys; sys.path.insert(0, 'src'); import suture.agent.boot; from suture import held, loading; loading.load(); [held.run(sys.modules[n]) for n in loading.SELDOM]; from suture.ops.cli.main import main; print('bare: ok')"

docs: $(STAMP)  ## every finding code, verb, link and the tutorial are checked against the code
	$(BIN)/python -m pytest tests/test_docs.py

coverage: $(STAMP)  ## branch coverage of the target side, combined over the Pythons present; 95 % or more
	$(BIN)/python tests/coverage_run.py $(ARGS)

matrix: $(STAMP)  ## the tests run by each Python, with nox
	$(BIN)/nox

clean:  ## remove what these commands made
	rm -rf $(VENV) $(VENV)-tools .nox .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .coverage* bench/.venv bench/.releases $(WEB_VENV)
