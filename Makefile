# Every target does its own set-up; the first one takes a minute, the next ones nothing. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test test-fast flower peers lint lock clean
# Extra arguments, as in: make run ARGS="--set train.rounds=5" or make test ARGS="-k partitioners"
ARGS =
PYTHON_OF_VENV = .venv/bin/python
# A file's tests share fixtures that take long to make, so they stay together, in the order of their names: those with few tests,
# which by default come last, take the longest. Three processes for two cores, because tests wait for disks and servers a third of
# the time. Each process holds about 1 GB.
PYTEST = $(PYTHON_OF_VENV) -m pytest --numprocesses $$(( ($$(nproc) * 3 + 1) / 2 )) --maxprocesses 6 --dist loadfile \
	--no-loadscope-reorder
COMPILE = tools/uv.sh pip compile -q --python-version 3.10 --override overrides.txt --generate-hashes --no-emit-index-url \
	--no-annotate --no-header

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## make .venv from requirements.txt (does nothing when nothing changed)
	@tools/setup.sh run

setup-dev: ## the same with the tools of make test and make lint
	@tools/setup.sh dev

run: setup ## run the digits example end to end; options in ARGS="..."
	@$(PYTHON_OF_VENV) local_runner.py --config examples/digits/config.yaml $(ARGS)

test test-fast: export TF_CPP_MIN_LOG_LEVEL = 2
# Where it is set, each process compiles all tests and modules anew: 5 s of each.
test test-fast: export PYTHONDONTWRITEBYTECODE =
test: setup-dev ## run every test
	@$(PYTEST) $(ARGS)

test-fast: setup-dev ## run the tests that are not marked slow
	@$(PYTEST) -m "not slow" $(ARGS)

flower: setup-dev ## get Flower Datasets into .tools/flower; the tests then compare our divisions with its own
	@test -x .tools/flower/bin/python || tools/uv.sh venv -q --no-project --python $(PYTHON_OF_VENV) .tools/flower
	@tools/uv.sh pip sync -q --python .tools/flower/bin/python --require-hashes tools/flower.txt

peers: setup ## get Flower with Ray, pfl and PyTorch (4.5 GB) into .tools/peers; benchmarks/training.py then compares with them
	@test -x .tools/peers/bin/python || tools/uv.sh venv -q --no-project --python $(PYTHON_OF_VENV) .tools/peers
	@tools/uv.sh pip sync -q --python .tools/peers/bin/python --require-hashes tools/peers.txt

lint: setup-dev ## check style, formatting and types
	@$(PYTHON_OF_VENV) -m ruff check
	@$(PYTHON_OF_VENV) -m ruff format --check
	@$(PYTHON_OF_VENV) -m mypy

lock: ## rebuild requirements*.txt from requirements*.in and overrides.txt, changing as little as possible
	@$(COMPILE) requirements.in -o requirements.txt
	@$(COMPILE) requirements-dev.in -o requirements-dev.txt
	@$(COMPILE) requirements-gateway.in -o requirements-gateway.txt

clean: ## remove .venv, .tools and caches; results in pipeline_root and serving/models stay
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
