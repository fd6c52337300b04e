# `make` alone lists the verbs. Nothing has to be installed first: each verb sets itself up.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help setup demo test check bench lock

help:
	@echo "make demo    the whole stack on this machine: the first connected trace as a tree, then live figures"
	@echo "make test    everything that needs no cluster, against a real Mosquitto (and Collector when installed)"
	@echo "make check   format, lint, types, import rules, locks"
	@echo "make bench   ours beside the straightforward way, into docs/performance.md; takes minutes"
	@echo "make lock    resolve requirements/ again after a change to a pyproject.toml"

setup:
	@local/setup

demo: setup
	@.venv/bin/python -m local.demo

test: setup
	@.venv/bin/pytest

check: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	local/lock --check
	local/no-addresses

bench: setup
	@.venv/bin/python -m bench

lock: setup
	@local/lock
