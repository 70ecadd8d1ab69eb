# `make test` and `make book` are all a newcomer needs: either one sets up .venv on its first call.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Some images switch bytecode off. Tests and chapters start hundreds of processes, and each would compile every module that
# it imports anew: twice the time of the whole.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test book slow coverage long bench lab constraints clean

# Two workers at most: a worker holds about 1 GB, and torch runs on one thread in each.
test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=2 --dist=loadfile

book: $(STAMP)
	$(BIN)/page4d book

slow: $(STAMP)
	$(BIN)/python -m pytest -m "slow and not long" --numprocesses=auto --maxprocesses=2 --dist=loadfile

# Lines of page4d/ that the quick tests run; processes of their own (workers of training, kernels) are counted too.
coverage: $(STAMP)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=2 --dist=loadfile --cov=page4d --cov-report=term:skip-covered

long: $(STAMP)
	$(BIN)/python -m pytest -m long

# The quick benchmarks, some six minutes on a quiet machine. They leave what the book shows alone; chapter 26 reads them with
# `-p results build/bench`, and BENCH=benchmarks/results replaces the stored ones.
BENCH ?= build/bench

bench: $(STAMP)
	$(BIN)/python benchmarks/roofline.py --out $(BENCH)/roofline.json
	$(BIN)/python benchmarks/roofline.py --precision float32 --frames 4 10 --out $(BENCH)/roofline.json
	$(BIN)/python benchmarks/roofline.py --roof --out $(BENCH)/roofline.json
	$(BIN)/python benchmarks/memory.py --out $(BENCH)/memory.json
	$(BIN)/python benchmarks/start.py --out $(BENCH)/start.json
	$(BIN)/python benchmarks/exports.py --out $(BENCH)/exports.json
	$(BIN)/python benchmarks/synthetic.py --repeats 3 --out $(BENCH)/costs.json
	$(BIN)/python benchmarks/loader.py --out $(BENCH)/costs.json
	$(BIN)/python benchmarks/scoring.py --out $(BENCH)/costs.json
	$(BIN)/python benchmarks/training.py --steps 5 --out $(BENCH)/costs.json

lab: $(STAMP)
	$(BIN)/jupyter lab --config=book/jupyter_config.py notebooks

# Every package pinned for Python 3.11 to 3.13 on any platform, without index addresses.
constraints: $(STAMP)
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --upgrade \
	  --no-emit-index-url --no-header --no-annotate pyproject.toml --output-file constraints.txt

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Debian's python3 may lack ensurepip: then the venv starts without pip, and the outer pip puts uv into it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "page4d needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	if $(BIN)/python -m pip --version >/dev/null 2>&1; \
	  then $(BIN)/python -m pip install --quiet uv; \
	  else $(PYTHON) -m pip --python $(BIN)/python install --quiet uv; fi
	$(BIN)/uv pip install --python $(BIN)/python --constraint constraints.txt --editable ".[dev]"
	touch $@
