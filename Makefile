# make demo: environment, models, corpus, the whole method, a WER table.  make test: linter, types and tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types unit clean lock audit

demo: $(VENV)/.demo
	$(BIN)/asr-tv adapt configs/demo.yaml

# Types beside the tests: these wait for browsers, servers and processes now and then.
test: lint
	+$(MAKE) --no-print-directory --jobs=2 types unit

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.test
	nice $(BIN)/mypy --num-workers 2

unit: $(VENV)/.test
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses 2 --dist loadfile

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable ".[demo,espeak,kokoro,pocket,speecht5,multilingual,export,gate,flows,ray,try,dev]"
	touch $@

# Both need pip-tools, pip-audit and bandit in a separate environment: make lock TOOLS=/path/to/bin
TOOLS ?= $(BIN)

lock: constraints.txt pyproject.toml
	$(TOOLS)/pip-compile --quiet --generate-hashes --strip-extras --no-annotate --no-header --no-emit-index-url \
		--no-emit-find-links --no-emit-trusted-host --unsafe-package torch --constraint constraints.txt \
		--extra demo --extra flows --extra object-storage --output-file requirements.raw pyproject.toml
	(sed -n '/^#/p' requirements.lock; sed '/^ *#/d; /^$$/d' requirements.raw) > requirements.new
	(sed -n '/^#/p' requirements-build.lock; sed -n '/^setuptools==/,/[^\\]$$/p' requirements.new) > requirements-build.new
	mv requirements.new requirements.lock
	mv requirements-build.new requirements-build.lock
	rm requirements.raw

audit:
	$(TOOLS)/bandit --quiet --recursive src flows
	$(TOOLS)/pip-audit --disable-pip --no-deps --requirement constraints.txt

clean:
	rm -rf $(VENV) .store runs
