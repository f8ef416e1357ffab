# On a fresh machine `make devnet` or `make test` is enough: both set up what they need, in .venv.

SEEDS ?= 300
CAMPAIGN_SEEDS ?= 100000
# A process for each core; 4 at least, for many tests wait; 8 at most, for each has ports of its own.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); [ $$n -gt 4 ] || n=4; [ $$n -lt 8 ] || n=8; echo $$n)

# Whatever the shell says: without bytecode on the disk every start of Python compiles all modules
# anew, and the tests start thousands.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup devnet test check sim sim-planted sim-twins sim-campaign bench bench-compare economy-campaign openapi

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

setup: .venv/ready ## Make .venv with the locked packages and the command .venv/bin/marsa
	@:

devnet: setup ## Start four real validators with funded accounts on this machine
	@.venv/bin/marsa devnet up

test: setup ## Run every test; 12 to 15 minutes on two cores
	@.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: setup ## Lint, format, types, import directions, links in the documents
	@.ci/check

openapi: setup ## Write docs/openapi.json anew, after a change of the HTTP interface
	@.venv/bin/python .ci/openapi

sim: setup ## Simulate SEEDS whole clusters under faults: make sim SEEDS=300
	@.venv/bin/python -m tests.sim.run --seeds $(SEEDS)

sim-planted: setup ## Plant each known bug in a copy of the code in memory; all must be found
	@.venv/bin/python -m tests.sim.planted_run

sim-twins: setup ## Every small schedule with one member run twice (hours; goes on where it stopped)
	@.venv/bin/python -m tests.sim.twins --all

economy-campaign: setup ## A million random actions on rules and model; goes on where it was stopped
	@.venv/bin/python -m tests.economy.campaign

sim-campaign: setup ## Simulate CAMPAIGN_SEEDS clusters; goes on where it was stopped
	@.venv/bin/python -m tests.sim.campaign --seeds $(CAMPAIGN_SEEDS)

bench: setup ## Measure throughput and latency of the running devnet
	@.venv/bin/marsa bench tps

bench-compare: setup ## Cost of a transfer here beside another commit: make bench-compare BASE=<commit>
	@.venv/bin/python bench/compare.py $(or $(BASE),$(error name a commit: make bench-compare BASE=<commit>))

.venv/ready: requirements-dev.lock pyproject.toml .ci/setup .ci/python
	@.ci/setup
