# Two commands do everything on a fresh machine: `make demo` and `make test`.
# JOBS processes share the tests, each with one thread; many tests wait for a process that they start.
JOBS ?= 3
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Modules are compiled once, as they are imported: where a container forbids that by this setting,
# every process compiles torch anew.
export PYTHONDONTWRITEBYTECODE =
# Without compiling every module of torch and transformers: most are never imported.
INSTALL = $(BIN)/python -m pip install -q --no-compile -c constraints.txt

.PHONY: demo test test-all lint style types docs

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

demo: $(BIN)/python
	$(INSTALL) '.[demo]'
	$(BIN)/calisr demo

test: $(BIN)/python
	$(INSTALL) '.[demo,test]'
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow"

test-all: $(BIN)/python
	$(INSTALL) '.[demo,test,onnx]'
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

lint: style types

style: $(BIN)/python
	$(INSTALL) '.[demo,test]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types:
	$(BIN)/mypy

docs: $(BIN)/python
	$(INSTALL) '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
