# make run     the gateway with a built-in demo provider: no key, no configuration
# make check   format, lint, types, import contracts
# make test    check, then every test (what CI runs)
# make bench   micro-benchmarks, as ratios within one run

.PHONY: run check test bench

run: .venv/.installed
	.venv/bin/gateway demo

check: .venv/.installed
	.venv/bin/ruff format --check && .venv/bin/ruff check && .venv/bin/mypy && .venv/bin/lint-imports --no-logo

test: check
	.venv/bin/pytest -q -n 2

bench: .venv/.installed
	.venv/bin/pytest -q -s tests/bench -o python_files='bench_*.py'

.venv/.installed: setup.cfg constraints.txt
	python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e '.[test]' && touch $@
