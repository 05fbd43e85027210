# Two commands on a fresh machine: `make run` and `make test`. Needs Python 3.11 or newer, and make.

PYTHON ?= python3
RUN    ?= runs/small
BIN    := .venv/bin
SHELL  := /bin/bash

.PHONY: run setup test check format assets clean

run: setup  ## train assets/small.toml (about three minutes), then open the playground on it
	@if [ ! -e $(RUN)/config.toml ]; then \
		$(BIN)/tinychat train --config assets/small.toml --out $(RUN); \
	else \
		$(BIN)/tinychat train --config assets/small.toml --out $(RUN) --resume; \
	fi
	@if [ -t 0 ] && [ -t 1 ]; then \
		$(BIN)/tinychat play $(RUN); \
	else \
		$(BIN)/tinychat sample --model $(RUN) --prompt "Once upon a time" --preset story --echo -q < /dev/null && echo; \
	fi

setup: .venv/.done  ## make .venv with everything in it

.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tinychat needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

test: setup  ## run the tests
	$(BIN)/python -m pytest -n auto --dist worksteal

check: setup  ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

assets: setup  ## train the shipped checkpoint again, judge it, and draw the pictures (hours of one core)
	$(BIN)/python assets/build.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
