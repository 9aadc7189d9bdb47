# make repro   install, run the pipeline on the embedded sample
# make test    install, pass the tests
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup repro test lint bench up
setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rawmill needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m tasks.isp.compiled
	touch $@

repro: setup
	$(BIN)/rawmill repro

test: setup
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m benchmarks.isp
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.synthesis

up: setup
	$(BIN)/python -m flows.up

