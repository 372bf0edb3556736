# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

demo: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[demo]'
	$(BIN)/calisr demo

test: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[demo,test]'
	$(BIN)/python -m pytest -q

lint: $(BIN)/python
	$(BIN)/python -m pip install -q -c constraints.txt '.[demo,test]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
