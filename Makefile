# The commands of the project. `make` alone lists them.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
# Each process would compile what it imports again; tests and demo start hundreds.
unexport PYTHONDONTWRITEBYTECODE

SPHINX := $(BIN)/sphinx-build --quiet --conf-dir docs --doctree-dir build/doctrees . aizen_hub/documentation
DOCUMENTATION := aizen_hub/documentation/docs/index.html
DOCUMENTS := $(wildcard *.md) tests/TRACEABILITY.md docs/conf.py $(shell find docs deploy -name '*.md' -o -name '*.webp' -o -name '*.cast')
SETUP := pyproject.toml aizen_hub/__init__.py aizen_hub/notebook/startup.py lab/source_hash requirements/install

.PHONY: help venv demo demo-check demo-engines cluster test test-suite test-fast lint bench bench-scale docs drill reference soak screenshots links wheel lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

venv: $(VENV)/.demo ## the environment of the demo, in .venv

demo: $(VENV)/.demo $(DOCUMENTATION) ## a running hub with five ready accounts; Ctrl-C stops it (options: ARGS="--port 8000 --reset")
	@$(BIN)/aizen-hub demo $(ARGS)

demo-check: $(VENV)/.demo ## the main journey through real servers; ends with `N passed, 0 failed`
	@$(BIN)/aizen-hub demo --check $(ARGS)

demo-engines: $(VENV)/.test ## a hub on a real engine, ENGINE=slurm, docker or kubernetes: two people, and where each token lies (root)
	@.ci/system-packages
	@[ "$(ENGINE)" != kubernetes ] || $(MAKE) --no-print-directory cluster
	@$(BIN)/python -m tests.engines $(ENGINE)

cluster: $(VENV)/.test ## the program of the Kubernetes that tests start: needs Go, and once about ten minutes of computing
	@.ci/cluster $$($(BIN)/python -m tests.fixtures.engines.kubernetes)

test: $(VENV)/.test ## lint and the whole suite, with the real servers it needs
	@.ci/system-packages
	@.ci/npm-packages $(VENV)
	@$(MAKE) --no-print-directory --jobs=2 lint test-suite

test-suite: $(VENV)/.test # side by side with lint: mypy takes one processor, and half a minute where it has no cache
	MAKEFLAGS= $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(VENV)/.test ## the unit tier: no server, no browser, no second process; about a minute
	$(BIN)/python -m pytest -q -n auto -m unit $(ARGS)

lint: $(VENV)/.test ## ruff, mypy, and the imports between packages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.test ## measured figures beside their targets
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-scale: $(VENV)/.test ## 10,000 sessions on two replicas and PostgreSQL: what each request costs, and what is carried
	@$(BIN)/python -m tests.benchmarks.scale $(ARGS)

drill: $(VENV)/.test ## backup, loss, recovery, restart and upgrade with real servers, each step with its seconds
	@$(BIN)/python -m tests.drill $(ARGS)

soak: $(VENV)/.test ## half an hour of faults under load; prints its seed (options: ARGS="--seed 1 --minutes 5")
	@$(BIN)/python -m tests.faults.soak $(ARGS)

docs: $(VENV)/.demo ## the documentation as HTML, in aizen_hub/documentation, where the service serves it
	@rm -rf aizen_hub/documentation
	@$(SPHINX) --fail-on-warning --fresh-env
	@echo "$(DOCUMENTATION)"

# The demo shows the documentation too. Only pages whose sources changed are built again.
$(DOCUMENTATION): $(DOCUMENTS) | $(VENV)/.demo
	@echo "building the documentation, which takes up to half a minute where there is none yet" >&2
	@$(SPHINX)
	@touch $@

links: $(VENV)/.demo ## ask whether the external links of the documentation lead somewhere; needs the internet
	@timeout 600 $(BIN)/sphinx-build --quiet --builder linkcheck --conf-dir docs --doctree-dir build/doctrees-links . build/links

wheel: docs ## the package with the documentation, in dist
	@$(BIN)/python -m hatchling build -t wheel

reference: $(VENV)/.demo ## the pages in docs/reference that are made from the code
	@$(BIN)/python -m docs.generator

screenshots: $(VENV)/.test ## the pictures in docs/images, of the panel with invented data (options: ARGS="home why")
	@.ci/system-packages
	@$(BIN)/python -m tests.screenshots $(ARGS)

# `.test` installs all that `.demo` installs, in the same versions (demo.txt is compiled against test.txt).
$(VENV)/.demo: requirements/demo.txt $(SETUP)
	@requirements/install $(VENV) requirements/demo.txt
	@touch $@

$(VENV)/.test: requirements/test.txt $(SETUP)
	@requirements/install $(VENV) requirements/test.txt
	@touch $@ $(VENV)/.demo

LOCK := uv pip compile --constraint requirements/constraints.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --no-header --quiet
WHOLE := $(LOCK) pyproject.toml --group build
IMAGE := $(LOCK) pyproject.toml --constraint requirements/test.txt

lock: ## compile the locked requirements (needs uv)
	$(WHOLE) --upgrade --extra test --output-file requirements/test.txt
	$(WHOLE) --extra demo --constraint requirements/test.txt --output-file requirements/demo.txt
	$(LOCK) --upgrade requirements/node.in --output-file requirements/node.txt
	@# s3fs needs python-dateutil below 3, and the tests have a newer one.
	sed '/^python-dateutil==/,/[^\\]$$/d' requirements/test.txt | $(LOCK) pyproject.toml --constraint - requirements/images/service.in --extra object-storage --extra postgres --extra tracing --output-file requirements/images/service.txt
	$(IMAGE) requirements/images/hub.in --extra docker --extra kubernetes --extra postgres --output-file requirements/images/hub.txt
	$(IMAGE) --extra hub --output-file requirements/images/server.txt

sbom: $(VENV)/.demo ## the bill of materials (CycloneDX) of the locked requirements, in dist
	@mkdir -p dist
	@$(BIN)/python requirements/sbom.py > dist/aizen-hub.cdx.json
	@echo dist/aizen-hub.cdx.json

clean: ## remove the environment, the demo's data and every cache
	rm -rf $(VENV) .aizen-demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis bench.json bench-scale.json aizen_hub/documentation
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
