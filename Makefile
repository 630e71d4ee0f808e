#   make demo            see it work: a hub and two edge nodes, links cut, processes killed, and the ledger
#   make demo-system     the same with whole machines: package, power cut, upgrade, rollback (as root: containers)
#   make test            the tests that can run on this machine as it is     (ALL=1: install what is missing, run all)
#   make check           what tools can say about the code: style, types, imports, wire formats, tree
#   make faults          try to break what is promised, for up to an hour     (ONLY=R01,R06: these rows)
#   make fuzz SECONDS=60 try to break the decoders with hostile bytes
#   make bench           measure how fast it is, beside mosquitto and JetStream  (ONLY=packs,single SHORT=1: a look)
#   make deb             the Debian package       (ARCH=amd64, arm64, armhf or all; VERSION=0.1.1, KEY=FILE)
#   make setup           only make .venv, for kos-edge and its tests
#   make clean           remove what these have made

SHELL := /bin/bash
SECONDS ?= 60
SETUP := pyproject.toml tools/setup.sh tools/apt.sh

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-system test check deb faults fuzz bench clean

help:
	@sed -n 's/^#   //p' Makefile

setup: .venv/ready-dev

demo: .venv/ready-run
	@.venv/bin/kos-edge demo $(ARGS)

demo-system: .venv/ready-dev
	@.venv/bin/python -m tests.system

test: .venv/ready-dev
	@.venv/bin/python -m tests.lanes $(if $(ALL),--all) $(LANES)

check: .venv/ready-dev
	@tools/check.sh

deb: .venv/ready-run
	@.venv/bin/python -m tools.deb $(ARCH) $(if $(VERSION),--version '$(VERSION)') $(if $(KEY),--key '$(KEY)') $(if $(QUICK),--quick)

faults: .venv/ready-dev
	@.venv/bin/python -m tests.faults --only '$(ONLY)' $(ARGS)

bench: .venv/ready-dev
	@.venv/bin/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(SHORT),--short) $(ARGS)

fuzz: .venv/ready-dev
	@.venv/bin/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

clean:
	rm -rf build .venv .lanes .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/ready-run: $(SETUP)
	@tools/setup.sh run

.venv/ready-dev: $(SETUP)
	@tools/setup.sh dev
