# Each target builds .venv itself; PYTHON=python3.12 chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test lint bench clean
.DELETE_ON_ERROR:

train: .venv/core.done
	$(BIN)/xpnn train --plot curve.png --checkpoint model.safetensors

test: lint
	$(BIN)/pytest -n 2 -q

lint: .venv/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/test.done
	$(BIN)/xpnn bench --json bench.json --html bench.html

clean:
	rm -rf .venv build *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "xpnn needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) --version`. Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/core.done: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[plot]'
	@touch $@

.venv/test.done: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ .venv/core.done
