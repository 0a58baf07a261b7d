# Every command creates what it needs. CI calls `check` and `test`, nothing else.
PYTHON ?= python3
BIN := .venv/bin
# A file of tests to each free core; what waits in vain takes minutes, so a few failures are enough.
# PYTEST_ARGS= runs all of them, one after the other.
PYTEST_ARGS ?= --numprocesses auto --dist loadfile --no-loadscope-reorder --maxfail 8
PIP := scripts/try-again $(BIN)/pip install --quiet --disable-pip-version-check --retries 10 --timeout 60 \
  --constraint constraints.txt

.PHONY: run demo test check check-types check-style check-page bench proto docs screenshots format clean

run: .venv/.installed
	$(BIN)/predictscale demo

demo: run

test: .venv/.installed-dev
	scripts/install-test-tools
	scripts/install-deploy-tools
	$(BIN)/pytest $(PYTEST_ARGS)

# Types take as long as all the rest.
check: .venv/.installed-dev
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check-types check-style check-page

check-types: .venv/.installed-dev
	$(BIN)/mypy

check-style: .venv/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/predictscale check predictscale.example.yaml
	$(BIN)/predictscale check --service predictscale.example.yaml \
	  $$(grep -rl --include='*.yaml' '^kind: ScaledObject' deploy/examples)

check-page: .venv/.installed-dev
	scripts/check-page

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks.rpc --out benchmarks/results/rpc.json
	$(BIN)/python -m benchmarks.page --quick --out benchmarks/results/local/page-quick.json
	$(BIN)/python -m benchmarks.live --quick --out benchmarks/results/local/live-quick.json
	$(BIN)/python -m benchmarks.forecast --quick --out benchmarks/results/local/forecast-quick.json
	$(BIN)/python -m benchmarks.forecast_cost --quick
	$(BIN)/python -m benchmarks.tune_cost --quick

proto: .venv/.installed-dev
	$(BIN)/python scripts/generate-proto

screenshots: .venv/.installed-dev
	scripts/install-test-tools
	$(BIN)/python scripts/screenshots

docs: .venv/.installed-dev
	$(BIN)/python scripts/draw-documents
	$(BIN)/properdocs build

format: .venv/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP) --editable '.[trees]'
	touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/pip
	$(PIP) --editable '.[dev]'
	touch $@ .venv/.installed
