# `make test` and `make book` are all a newcomer needs; both set up .venv on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: test book slow check lab clean

test: $(STAMP)
	$(BIN)/python -m pytest

book: $(STAMP)
	$(BIN)/page4d book

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --without-pip $(VENV)
	$(BIN)/python -m pip --version >/dev/null 2>&1 && $(BIN)/python -m pip install --quiet uv \
	  || $(PYTHON) -m pip --python $(BIN)/python install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e ".[dev]"
	touch $@
