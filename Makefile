# Every target works in a fresh clone: what is missing is made first.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo bench-train bench-data bench-drift bench-detect fuzz test-portable test-flink test pytest lint style types layers format lock clean

BIN := .venv/bin
INSTALLED := .venv/.installed

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z.-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Run the whole pipeline on photographs of brick: data, training, report, pushed model
	$(BIN)/proganomaly dataset texture data/brick
	$(BIN)/proganomaly run --config pipeline/presets/demo.yaml

bench-train: $(INSTALLED) ## Measure the training step beside the machine's ceilings, about 6 minutes
	$(BIN)/python benchmarks/bench_train.py

bench-data: $(INSTALLED) ## Measure ingestion and the pyramid beside the original's algorithm, about 10 minutes
	$(BIN)/python benchmarks/bench_data.py

bench-drift: $(INSTALLED) ## Measure how often drift is found, and how often where there is none, a minute
	$(BIN)/python benchmarks/bench_drift.py

bench-detect: $(INSTALLED) ## Measure detection on public data, hours; goes on where it was stopped
	$(BIN)/python benchmarks/bench_detect.py
	$(BIN)/python benchmarks/bench_detect.py --tables

fuzz: $(INSTALLED) ## Send 100,000 damaged images and as many files of records through all that reads them
	$(BIN)/python tests/fuzz/fuzz_decode.py
	$(BIN)/python tests/fuzz/fuzz_records.py

test-portable: $(INSTALLED) ## Run ingest and the pyramid on Prism, a portable engine of Beam, and kill workers (needs Go)
	scripts/prism.sh data/prism
	BEAM_ENGINE=prism $(BIN)/pytest -n 0 -m slow tests/portable/test_runners.py

test-flink: $(INSTALLED) ## Run ingest and the pyramid on an embedded Flink (needs Java, and Beam's job server)
	BEAM_ENGINE=flink $(BIN)/pytest -n 0 -m slow tests/portable/test_runners.py

test: lint pytest ## Run all checks: style, types, import layers, tests

pytest: $(INSTALLED) ## Run the tests alone
	$(BIN)/pytest

lint: style types layers ## Run the checks of style, types and import layers alone

style: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) .mypy_path/proganomaly
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED) ## Format the code, mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Resolve pyproject.toml into requirements.lock (UPGRADE=--upgrade takes newer versions)
	scripts/bootstrap.sh bare
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --python-version 3.10 --extra dev --generate-hashes \
	  --no-header --no-annotate $(UPGRADE) pyproject.toml --output-file requirements.lock

clean: ## Remove the environment and every cache; data/ and runs/ stay
	rm -rf .venv .mypy_path build dist *.egg-info .*_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv: $(INSTALLED) ## Make or mend the environment alone

$(INSTALLED): requirements.lock pyproject.toml setup.py scripts/bootstrap.sh
	scripts/bootstrap.sh
	@touch $@

# mypy cannot follow the folder mapping of setup.py; it follows links.
.mypy_path/proganomaly:
	mkdir -p $@
	ln -sfn ../../components ../../kubeflow ../../pipeline $@/
