# Everything a person or a machine does with this repository. `make run` needs Python 3.11 to 3.13 and nothing else.
#
# The environment comes from two files. requirements.lock pins every package but PyTorch, for every Python from 3.11 on, with the hashes of its files; it is
# installed without resolving (--no-deps), so nothing that is not in it can come in. requirements-torch.lock pins PyTorch by version only: its builds (CPU only, or with CUDA)
# share a version and differ in files and dependencies, so hashes would refuse one of them. Both names nothing but packages: no host, no path.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUTPUT ?= results
KILLS ?= 30
SEEDS ?= 10
FUZZ_SECONDS ?= 120
ARGS ?=

.PHONY: help install run test fuzz leak-zoo faults audit lint format types lock bench bench-full bench-gpu ui docs docs-refresh docs-pictures cloud-tools cloud-check clean

help:
	@echo "make run      plan and train on the embedded sample, into $(OUTPUT)/ (ARGS=... adds options of 'switchyard run')"
	@echo "make test     the tests          make lint    style         make types   strict types"
	@echo "make format   rewrite style      make bench   benchmarks    make ui      the Dagster UI on $(OUTPUT)/"
	@echo "make bench-full   benchmarks at full size, planning at scale; both write docs/benchmarks.md"
	@echo "make bench-gpu    nets as one program against a loop of them, on a CUDA device; the next page has the figures"
	@echo "make fuzz     long fuzzers       make faults  KILLS=30 kills at random moments"
	@echo "make leak-zoo SEEDS=10 times the planted leaks and their twins"
	@echo "make audit    known vulnerabilities of the pinned dependencies, where the service that knows them can be reached"
	@echo "make install  the environment    make lock    pin the environment anew"
	@echo "make docs-pictures  the documentation's pictures of report, terminal and UI, from $(OUTPUT)/ (needs Chromium)"
	@echo "make cloud-check  dagster_cloud.yaml against the tools of Dagster+ and Kubernetes"
	@echo "make docs     the documentation into site/; make docs-refresh runs its commands and writes what they print (ARGS='--panel DIR')"

install: $(STAMP)

# Again only when a pin changed; works without a network once installed.
$(STAMP): requirements.lock requirements-torch.lock pyproject.toml
	@echo "== installing into $(VENV) with $(PYTHON) (once; a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "Python 3.11 to 3.13 is needed, this is " + sys.version)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements-torch.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
	@echo "== installed"

run: $(STAMP)
	@echo "== switchyard run, embedded sample, output in $(OUTPUT)/"
	@$(BIN)/switchyard run --output-dir $(OUTPUT) $(ARGS)

test: $(STAMP)
	@echo "== tests, a process a core"
	@$(BIN)/python -m pytest --numprocesses logical --dist loadfile $(ARGS)

lint: $(STAMP)
	@echo "== style"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(STAMP)
	@echo "== types"
	@$(BIN)/mypy

lock: $(STAMP)
	@echo "== pinning requirements.lock (PyTorch apart, see above)"
	@echo torch | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --excludes - \
		--extra dev --extra postgres --extra ray --extra store --output-file requirements.lock pyproject.toml

fuzz: $(STAMP)
	@echo "== fuzzers, long"
	@SWITCHYARD_HYPOTHESIS=fuzz SWITCHYARD_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests/fuzz tests/unit/resources/test_market_data.py \
		-k "any or damaged or whatever" $(ARGS)

# Advisories come over the network, from OSV, by a tool in an environment of its own. Where OSV cannot be reached nothing is audited, and that is said.
audit:
	@echo "== known vulnerabilities of the pinned dependencies"
	@if $(PYTHON) -c 'import urllib.request; urllib.request.urlopen("https://api.osv.dev/v1/vulns/PYSEC-2021-1", timeout=10)' 2> /dev/null; then \
		test -x $(VENV)-audit/bin/pip-audit || ($(PYTHON) -m venv $(VENV)-audit && $(VENV)-audit/bin/pip install -qq --disable-pip-version-check pip-audit); \
		$(VENV)-audit/bin/pip-audit --vulnerability-service osv --disable-pip --require-hashes -r requirements.lock && \
		$(VENV)-audit/bin/pip-audit --vulnerability-service osv --disable-pip --no-deps -r requirements-torch.lock; \
	else echo "NOT AUDITED: https://api.osv.dev cannot be reached from here"; fi

leak-zoo: $(STAMP)
	@echo "== planted leaks and their honest twins, $(SEEDS) seeds; every leak on every panel from ten on"
	@SWITCHYARD_ZOO_SEEDS=$(SEEDS) $(BIN)/python -m pytest tests/unit/training_assets/leakage/test_leak_zoo.py --numprocesses logical -rfE $(ARGS)

faults: $(STAMP)
	@echo "== kills at random moments"
	@SWITCHYARD_FAULT_KILLS=$(KILLS) $(BIN)/python -m pytest tests/pipeline/test_faults.py -k killed $(ARGS)

# Processor time, not the clock: the machine may be shared. What is measured lies in .benchmarks/, and the page is written from it.
BENCH = OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/benchmarks -s --benchmark-timer=time.process_time --benchmark-json=.benchmarks/run.json $(ARGS)
BENCH_PAGE = $(BIN)/python -m tests.benchmarks.page .benchmarks/run.json --scale .benchmarks/growth.json --scale .benchmarks/scale.json --backfill .benchmarks/backfill.txt --ui .benchmarks/ui.txt --gpu .benchmarks/gpu.txt

bench: $(STAMP)
	@echo "== benchmarks"
	@mkdir -p .benchmarks
	@$(BENCH)
	@$(BENCH_PAGE)
	@echo "== docs/benchmarks.md"

bench-full: $(STAMP)
	@echo "== benchmarks at full size, planning at scale, a backfill; an hour and more"
	@mkdir -p .benchmarks
	@SWITCHYARD_BENCHMARK_FULL=1 $(BENCH)
	@$(BIN)/python -m tests.benchmarks.scale 60 120 250 --json .benchmarks/growth.json
	@$(BIN)/python -m tests.benchmarks.scale 500 --targets 10 --json .benchmarks/scale.json
	@$(BIN)/python -m tests.benchmarks.backfill 100 300 > .benchmarks/backfill.txt
	@$(BIN)/python -m tests.benchmarks.ui 1000 100000 > .benchmarks/ui.txt
	@$(BENCH_PAGE)
	@echo "== docs/benchmarks.md"

bench-gpu: $(STAMP)
	@mkdir -p .benchmarks
	@$(BIN)/python -m tests.benchmarks.test_stacked_nets --device cuda --looped 10 | tee .benchmarks/gpu.txt

ui: $(STAMP)
	@$(BIN)/switchyard ui --output-dir $(OUTPUT) $(ARGS)

# MkDocs is no part of the pinned environment: it has one of its own, with the packages of the extra `docs`.
DOCS_PACKAGES = $(shell $(PYTHON) -c 'import tomllib; print(*(repr(name) for name in tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"]))')

docs:
	@test -x $(VENV)-docs/bin/mkdocs || ($(PYTHON) -m venv $(VENV)-docs && $(VENV)-docs/bin/pip install -qq --disable-pip-version-check $(DOCS_PACKAGES))
	@NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict --quiet
	@echo "== documentation in site/"

docs-refresh: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python docs/refresh.py $(ARGS)

# The sample's run in $(OUTPUT)/ is what is shown; make run makes it.
docs-pictures: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python docs/screenshots.py --sample-run $(OUTPUT)

# Dagster+ and Kubernetes are no part of the pinned environment either.
cloud-tools: $(STAMP)
	@test -x $(VENV)-cloud/bin/dagster-cloud || ($(PYTHON) -m venv $(VENV)-cloud && \
		$(VENV)-cloud/bin/pip install -qq --disable-pip-version-check dagster-cloud-cli==1.13.27 dagster-k8s==0.29.27 pyyaml)

cloud-check: cloud-tools
	@echo "== dagster_cloud.yaml"
	@DAGSTER_CLOUD_ORGANIZATION=example $(VENV)-cloud/bin/dagster-cloud ci check --dagster-cloud-connect-check skip
	@$(BIN)/python -W ignore -c 'import json; from training_assets.model_assets import GPU_REQUEST; print(json.dumps(GPU_REQUEST))' | \
		$(VENV)-cloud/bin/python -W ignore docs/check_cloud.py

clean:
	rm -rf $(VENV) $(VENV)-docs $(VENV)-audit $(VENV)-cloud site $(OUTPUT) .mypy_cache .ruff_cache .pytest_cache
