# `make` alone lists the verbs. Nothing has to be installed first: each verb sets itself up.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help setup demo test check images up e2e down bench bench-library bench-operator docs lock

help:
	@echo "make demo    the whole stack on this machine: the first connected trace as a tree, then live figures"
	@echo "make test    everything that needs no cluster, against a real Mosquitto (and Collector when installed)"
	@echo "make check   format, lint, types, import rules, locks, spelling"
	@echo "make images  the container image of each service, with Docker"
	@echo "make up      the chart in a kind cluster, with the trace page: needs Docker, kind, kubectl and Helm"
	@echo "make e2e     the chart's tests in that cluster, or with E2E_EXISTING=1 in the one of KUBECONFIG; takes minutes"
	@echo "             (TESTS='-k broker' hands pytest arguments, here as in make test)"
	@echo "make down    remove that cluster"
	@echo "make bench   the services against a baseline, into docs/performance.md; takes minutes"
	@echo "make bench-library   the cost of tracing a paho program, into docs/library-performance.md; takes minutes"
	@echo "make bench-operator  fleets in that cluster, into docs/operator-performance.md; takes minutes"
	@echo "make docs    the documentation as a site, into site/"
	@echo "make lock    resolve requirements/ again after a change to a pyproject.toml"

setup:
	@local/setup

demo: setup
	@.venv/bin/python -m local demo

test:
	@local/setup tests
	@.venv/bin/pytest $(TESTS)

check: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	local/lock --check
	local/no-addresses
	git ls-files | xargs .venv/bin/codespell
	local/plain-english

images:
	@local/images

up: setup
	@.venv/bin/python -m local up

e2e: setup
	@.venv/bin/pytest k8s-tests $(TESTS)

down:
	@command -v kind >/dev/null || { echo "down: kind is not on PATH, so there is no cluster to remove" >&2; exit 2; }
	@kind delete cluster --name mqtt-trace$${KIND_IP_FAMILY:+-$$KIND_IP_FAMILY} --kubeconfig .tools/kubeconfig

bench: setup
	@.venv/bin/python -m bench

bench-library: setup
	@.venv/bin/python -m bench.library

bench-operator: setup
	@.venv/bin/python -m bench.operator

docs: setup
	@.venv/bin/mkdocs build --strict --quiet
	@echo "docs: site/index.html"

lock: setup
	@local/lock
