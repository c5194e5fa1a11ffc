# The commands of everyday use; each builds the environment first if need be.
PYTHON ?= python3
EXP ?= eggan_demo
ARGS ?=
EXTRAS := demo,cluster,notebooks,iqa,docs,dev
READY := .venv/.ready

.PHONY: help setup train evaluate test notebooks docs lint format clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt overrides.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv pip install --quiet --python .venv/bin/python -c constraints.txt --override overrides.txt -e '.[$(EXTRAS)]'
	touch $@

setup: $(READY) ## build .venv from nothing

train: $(READY) ## train an experiment: make train EXP=eggan_rafd ARGS="trainer.devices=8"
	.venv/bin/facegan train $(EXP) $(ARGS)

evaluate: $(READY) ## the paper's protocol on the newest run: make evaluate EXP=eggan_rafd
	.venv/bin/facegan evaluate $(EXP) $(ARGS)

test: $(READY) ## the tests
	.venv/bin/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal $(ARGS)

notebooks: $(READY) ## run the notebooks on the runs that are there
	.venv/bin/python -m pytest --nbmake --nbmake-timeout=1800 notebooks

docs: $(READY) ## the documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet

lint: $(READY) ## style, types, and the arrows between packages
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: $(READY) ## mend the style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean: ## remove the environment and caches (never data or runs)
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache .import_linter_cache build *.egg-info
