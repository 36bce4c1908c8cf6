# Everything one does with Nextseat. `make` alone explains itself.
PYTHON ?= python3
BIN := .venv/bin
FLASK := $(BIN)/flask --app run_web
# Many tests wait for a process or a deadline: two workers more than there are cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 2)')
PIP := $(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --require-hashes -r
UV := $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make requirements"

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-info replay run test lint docs bench soak requirements

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

setup: .venv/developing ## install everything into .venv, from the locked requirements

demo: .venv/running ## try it out with made-up people: web, scheduler and letters; Ctrl-C stops it
	@$(BIN)/python -m app.ops.demo_run $(ARGS)

demo-info: ## say again where the demo is and how to sign in
	@cat instance/demo.txt 2>/dev/null || echo "There is no demo here yet: make demo."

replay: .venv/running ## replay three weeks of made-up demand for 24 trainings and check what became of it
	@$(FLASK) replay --generate 24

run: .venv/running ## migrate the database, start the web and the scheduler; Ctrl-C stops both
	@$(FLASK) db upgrade
	@$(BIN)/python -m app.ops.both

test: .venv/developing ## run all tests on SQLite and PostgreSQL
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: .venv/developing ## check format, style, types, imports and requirements
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry .

docs: .venv/running ## write the references in docs/ anew, from what the code says
	@$(BIN)/python -m app.ops.references

bench: .venv/developing ## measure what must be fast, beside the ordinary way
	@$(BIN)/python -m benchmarks $(ARGS)

soak: .venv/developing ## the long runs: races for an hour, not part of `make test`
	@$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

requirements: .venv/developing ## lock requirements*.in anew, the larger set first
	@$(UV) $(ARGS) requirements-dev.in -o requirements-dev.txt
	@$(UV) $(ARGS) requirements.in -c requirements-dev.txt -o requirements.txt
	@$(UV) $(ARGS) requirements-uv.in -c requirements-dev.txt -o requirements-uv.txt

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Nextseat needs Python 3.11 or newer: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv .venv \
		|| { echo "Python cannot make a virtual environment: install python3-venv."; exit 1; }

.venv/running: .venv/bin/python requirements.txt
	@$(call install,requirements.txt)
	@touch $@

.venv/developing: .venv/bin/python requirements-dev.txt
	@$(call install,requirements-dev.txt)
	@touch $@ .venv/running

# In seconds with uv; in a minute with pip where uv cannot: no uv for this machine, or an index,
# a proxy or a mirror that only pip is told of. Python compiles what is used when it is used.
define install
$(PIP) requirements-uv.txt 2>/dev/null && ! $(BIN)/python -m pip config list | grep -q '[.]index-url=' \
	&& UV_HTTP_TIMEOUT=20 UV_HTTP_RETRIES=1 UV_LINK_MODE=copy $(BIN)/uv pip install --quiet \
		--python $(BIN)/python --require-hashes -r $(1) 2>/dev/null \
	|| $(PIP) $(1) \
	|| { echo "Installing failed: is there a network? The lines above say what is missing."; exit 1; }
endef
