# Two commands do everything on a fresh machine: `make demo` and `make test`.
# JOBS processes share the tests, each with one thread; many tests wait for a process that they start.
JOBS ?= 3
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-all lint docs

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

demo: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[demo]'
	$(BIN)/calisr demo

test: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[demo,test]'
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m "not slow"

test-all: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[demo,test,onnx]'
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

lint: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[demo,test]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
