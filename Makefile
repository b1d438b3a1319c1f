# Each target sets up what it needs by itself; nothing but Python >= 3.11 and a package registry is assumed.
PYTHON ?= python3
VENV := .venv
BASE := .venv-base
export PIP_DISABLE_PIP_VERSION_CHECK := 1
DATA := $(or $(MAEUM_DATA),../shared/data)
RUN := runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check fix bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

$(BASE)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python -m pip install -q -c constraints.txt -e .
	touch $@

demo: $(BASE)/.ready  ## train, tune, evaluate, predict and report on the sample data (base install only)
	$(BASE)/bin/maeum train sample:nikl-ea --valid 0.2 -o $(RUN)/model --overwrite
	cp $(RUN)/model/report.html $(RUN)/report.html
	$(BASE)/bin/maeum thresholds $(RUN)/model --table $(RUN)/thresholds.csv
	$(BASE)/bin/maeum predict $(RUN)/model sample:nikl-ea -o $(RUN)/predictions.jsonl --overwrite
	$(BASE)/bin/maeum convert $(RUN)/predictions.jsonl --to nikl-ea --source sample:nikl-ea -o $(RUN)/submission.jsonl --overwrite
	$(BASE)/bin/maeum analyze --model $(RUN)/model '드디어 콘서트 표를 구했다!! 벌써 두근두근' --target '콘서트'
	@echo; ls -d $(RUN)/*

test: $(VENV)/.ready  ## the fast tests
	$(VENV)/bin/python -m pytest -m 'not slow and not gpu' -n 2 --dist loadfile

test-slow: $(VENV)/.ready  ## the slow tests, on the real data where it is there
	$(VENV)/bin/python -m pytest -m 'slow and not gpu' -rs

check: $(VENV)/.ready  ## format, lint, types, import layers
	$(VENV)/bin/ruff format --check src tests benchmarks deploy
	$(VENV)/bin/ruff check src tests benchmarks deploy
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

fix: $(VENV)/.ready  ## let ruff format and mend what it can
	$(VENV)/bin/ruff format src tests benchmarks deploy
	$(VENV)/bin/ruff check --fix src tests benchmarks deploy

bench: $(VENV)/.ready  ## all benchmarks, results into benchmarks/results/
	$(VENV)/bin/python benchmarks/thresholds.py
	$(VENV)/bin/python benchmarks/linear.py --data $(DATA)

clean:  ## remove virtual environments, runs and caches
	rm -rf $(VENV) $(BASE) runs .mypy_cache .ruff_cache .hypothesis .import_linter_cache
