# Verbs of one line each; `make` alone lists them. What they need they set up first.
.DEFAULT_GOAL := help
.PHONY: help setup setup-test setup-bench demo scenario up logs test pictures test-compose check format protos vendor bench bench-docs soak clean

# What Python compiles is kept, whatever the environment says of that: programs start in half the time.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/bytecode

PYTHON := .venv/bin/python
SOURCES := sidegate services tests protos benchmarks examples deploy

help:  ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup:  ## install what is missing: the virtual environment, iproute2, the BPF program
	@deploy/setup

setup-test: setup  ## install what only tests need: PostgreSQL's programs, nftables, Graphviz, Chromium
	@deploy/setup-test

setup-bench: setup-test  ## install what only benchmarks need: HAProxy, nginx, iperf3, matplotlib
	@deploy/setup-bench

demo: setup  ## tell the whole story on real traffic, print it, leave nothing behind
	@$(PYTHON) -m services.standalone.demo

scenario: setup-test  ## watch a picture of the product that runs: NAME=three-vpcs (without NAME: which there are)
	@$(PYTHON) -m tests.system.scenarios $(if $(NAME),run $(NAME) $(ARGS),list)

up: setup  ## run every program until Ctrl-C (data in ./data)
	@$(PYTHON) -m services.standalone $(ARGS)

logs: setup  ## follow the logs of a running `make up` (ARGS="--level warning", --help for more)
	@$(PYTHON) -m services.standalone.logs $(ARGS)

test: setup-test  ## run the whole test suite, on a process more than there are cores (they wait more than they compute), four at most
	@$(PYTHON) -m pytest -n $$(($$(nproc) + 1)) --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

pictures: setup-test  ## make the pictures of docs/console.md anew, by the tests that look at the console
	@SIDEGATE_PICTURES=1 $(PYTHON) -m pytest -q -n 0 tests/system/console/test_story.py

test-compose: setup  ## build docker-compose.yml, run it, and test it with packets (in CI with an engine of its own)
	@$(PYTHON) -m pytest -m compose -v tests/compose $(ARGS)

check: setup  ## run the static gates
	@PATH=$(CURDIR)/.venv/bin:$$PATH deploy/check

format: setup  ## put the code in its canonical form
	@.venv/bin/ruff format -q $(SOURCES) && .venv/bin/ruff check -q --fix $(SOURCES) && .venv/bin/buf format -w protos

protos: setup  ## generate sidegate/api from protos/
	@$(PYTHON) protos/generate.py

vendor:  ## fetch what the console has from npm again, as it is pinned (needs npm)
	@deploy/vendor

bench: setup-bench  ## measure, as ratios in one run: build/bench.json (ARGS=--quick for a look)
	@$(PYTHON) -m benchmarks $(ARGS)

bench-docs: setup-bench  ## make docs/benchmarks.md and its plots of what `make bench` found
	@$(PYTHON) -m benchmarks.report

soak: setup-test  ## the long runs: chaos, kills and models in ten minutes, then a gateway under traffic for as long
	@SIDEGATE_SOAK_SECONDS=$${SIDEGATE_SOAK_SECONDS:-600} $(PYTHON) -m pytest -m soak --timeout 1200 -s $(ARGS)

clean:  ## remove what setup, tests and runs made here
	@rm -rf .venv build data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
