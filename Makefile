# make run          the gateway with a built-in demo provider: no key, no configuration
# make check        format, lint, types, import contracts
# make test         check, then every test (what CI runs)
# make bench        CPU per request and event beside nginx and HAProxy, in one interleaved run
# make bench-micro  what the parts cost, as ratios within one run
# make scorecard    what clients see of every fault: pass, partial or fail

# The system's own interpreter first: distributions build theirs with profile and link time optimisation, and a request
# costs a sixth less CPU than with one that was built without. `make PYTHON=… run` takes another.
PYTHON ?= $(or $(shell for python in /usr/bin/python3 python3; do \
    $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done),python3)

.PHONY: run check test bench bench-micro scorecard

run: .venv/.installed
	.venv/bin/gateway demo

check: .venv/.installed
	.venv/bin/ruff format --check && .venv/bin/ruff check && .venv/bin/mypy && .venv/bin/lint-imports --no-logo

test: check
	.venv/bin/pytest -q -n 2

bench: .venv/.installed
	.venv/bin/python -m loadtest.bench

bench-micro: .venv/.installed
	for file in tests/bench/bench_*.py; do .venv/bin/python -m tests.bench.$$(basename $$file .py) || exit 1; done

scorecard: .venv/.installed
	.venv/bin/python -m loadtest.scorecard

.venv/.installed: setup.cfg constraints.txt
	$(PYTHON) -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e '.[test]' && touch $@
