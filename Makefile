# Everything runs in .venv, made here from the lock with nothing but Python 3.11+; a second run finds it ready.
#   make demo PYTHON=/path/to/python3    makes .venv with that Python (after `make clean`, if there is one)
#   make test OTHER_PYTHONS=             leaves the other Pythons out
#   make nightly                         holds the laws of schedules to 2,000 jobs in 8 timings each (about an hour)
#   make bench                           measures what the runtime costs, beside peers that it installs in .venv-peers

PYTHON ?= python3 python3.13 python3.12 python3.11 python
OTHER_PYTHONS ?= 3.11 3.12 3.13

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := -m pip --disable-pip-version-check --no-input
DEMO := $(BIN)/python -m converge_agents.teams.strategy
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"
AIMOCK := 1.43.0
TEMPORAL := v1.5.1

# A caller's own paths must not decide what is tested.
unexport PYTHONHOME PYTHONPATH

.PHONY: help demo test test-pythons servers aimock chromium postgres temporal-server nightly bench bench-quick \
  docs dist-check format lock clean

help:
	@echo "make demo    run a real decision job to its fixed point"
	@echo "make test    run every check: ruff, mypy, import-linter, pytest"
	@echo "make servers install what some tests ask: llmock, aimock, a Temporal server, chromium and PostgreSQL"
	@echo "make nightly hold the laws of schedules to twenty times as many random jobs"
	@echo "make bench   measure what the runtime costs, beside plain code and peers (minutes; bench-quick: one)"
	@echo "make docs    build the documentation as a site that needs no network, in site/"
	@echo "make dist-check  build what is released, install it in an empty environment, run the demo from it"
	@echo "make format  let ruff mend what it can"
	@echo "make lock    renew requirements/*.txt from pyproject.toml (needs uv)"
	@echo "make clean   remove every virtual environment and cache"

demo: $(READY)
	@$(DEMO)

test: $(READY) test-pythons servers
	$(BIN)/ruff check --quiet --output-format concise
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@others=; for version in $(OTHER_PYTHONS); do \
	  if [ -e .venv-$$version/.ready ]; then others="$$others:$(CURDIR)/.venv-$$version/bin/python"; fi; \
	done; echo "$(BIN)/pytest"; CONVERGE_OTHER_PYTHONS="$${others#:}" $(BIN)/pytest --quiet --numprocesses auto

nightly: $(READY)
	CONVERGE_NIGHTLY=1 $(BIN)/pytest --quiet --numprocesses auto -o faulthandler_timeout=7200 \
	  tests/test_frontier.py tests/test_oracles.py tests/test_stream.py tests/test_labelling.py \
	  tests/test_power_loss.py tests/test_disk_faults.py tests/test_kill.py tests/test_shutdown.py \
	  tests/test_durable_machine.py tests/test_llm_kill.py \
	  tests/test_temporal_server.py tests/test_temporal_fleet.py

bench: $(READY) .venv-peers/.ready
	@$(BIN)/python -m benchmarks

bench-quick: $(READY) .venv-peers/.ready
	@$(BIN)/python -m benchmarks --quick

docs: .venv-docs/.ready
	@NO_MKDOCS_2_WARNING=1 PATH="$(CURDIR)/.venv-docs/bin:$$PATH" .venv-docs/bin/mkdocs --quiet build --strict
	@echo "site/index.html is there to be read."

# The wheel is built from the sdist, so that both are whole; then nothing of this tree is used but the lock.
INSTALLED := $(CURDIR)/.venv-dist/bin
dist-check: $(READY)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	@$(BIN)/python -m venv --clear --without-pip .venv-dist
	@$(BIN)/python $(PIP) --python .venv-dist/bin/python install --quiet --require-hashes -r requirements/runtime.txt
	@$(BIN)/python $(PIP) --python .venv-dist/bin/python install --quiet --no-deps dist/*.whl
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cd "$$folder" \
	&& "$(INSTALLED)/converge" --version \
	&& "$(INSTALLED)/python" -I -m converge_agents.teams.strategy \
	&& "$(INSTALLED)/converge" audit --store sqlite:///demo.db \
	&& "$(INSTALLED)/converge" new triage >/dev/null && cd triage && "$(INSTALLED)/converge" plan triage:engine >/dev/null
	@echo "dist/ holds what can be released:"; ls dist

# Each other Python found here gets the runtime's dependencies alone; a test runs one job under all of them.
test-pythons: $(OTHER_PYTHONS:%=.venv-%/.ready)

# What some tests ask, or look with. None is needed: a test that finds none is skipped and says so.
servers: .venv-llmock/.ready aimock temporal-server chromium postgres

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock:
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	$(LOCK) --group llmock -o requirements/llmock.txt
	$(LOCK) --group docs -o requirements/docs.txt

clean:
	rm -rf .venv .venv-3.* .venv-llmock .venv-docs .venv-peers .venv-dist benchmarks/results dist site \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Prints the first candidate that runs, is new enough and can make a venv: a pyenv shim may only say "not found".
first_of = for python in $(1); do \
	  "$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  && echo "$$python" && break; \
	done

$(READY): requirements/dev.txt pyproject.toml
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  python=$$($(call first_of,$(PYTHON))); \
	  if [ -z "$$python" ]; then \
	    echo "No Python 3.11 or newer that can make a virtual environment was found ($(PYTHON))." >&2; \
	    echo "Install one (on Debian and Ubuntu: python3 and python3-venv), or name it: make PYTHON=/path/to/python3 ..." >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$python and installing the locked packages; once, about a minute."; \
	  "$$python" -m venv --clear $(VENV); \
	fi
	@$(BIN)/python $(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@$(BIN)/python $(PIP) install --quiet --no-build-isolation --no-deps -e .
	@touch $@

# Never fails for want of a Python: what is not there is named and left out.
.venv-%/.ready: requirements/runtime.txt | $(READY)
	@if $(BIN)/python -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$*")'; then exit 0; fi; \
	python=$$($(call first_of,python$* $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$*.*/bin/python$*)); \
	if [ -z "$$python" ]; then echo "No Python $* here: the digests are not compared with it."; exit 0; fi; \
	echo "Making .venv-$* with $$python."; \
	"$$python" -m venv --clear --without-pip .venv-$* \
	&& $(BIN)/python $(PIP) --python .venv-$*/bin/python install --quiet --no-compile --require-hashes \
	  -r requirements/runtime.txt \
	&& touch $@

# Peers need other versions than the runtime does, hence their own environment. If they cannot all be installed, each
# is tried alone: one that is missing is named in the tables, and the others are measured.
PEERS := benchmarks/peers/requirements.txt
INTO_PEERS = $(BIN)/python $(PIP) --python .venv-peers/bin/python install --quiet --no-compile
.venv-peers/.ready: $(PEERS) benchmarks/peers/constraints.txt | $(READY)
	@echo "Making .venv-peers and installing the peers of the benchmarks; once, about a minute."
	@$(BIN)/python -m venv --clear --without-pip .venv-peers
	@$(INTO_PEERS) -c benchmarks/peers/constraints.txt -r $(PEERS) || \
	sed '/^#/d' $(PEERS) | while read -r peer; do \
	  $(INTO_PEERS) -c benchmarks/peers/constraints.txt "$$peer" || echo "$$peer cannot be installed here."; \
	done
	@touch $@

.venv-docs/.ready: requirements/docs.txt | $(READY)
	@echo "Making .venv-docs with the packages of MkDocs."
	@$(BIN)/python -m venv --clear --without-pip .venv-docs
	@$(BIN)/python $(PIP) --python .venv-docs/bin/python install --quiet --require-hashes -r requirements/docs.txt
	@touch $@

.venv-llmock/.ready: requirements/llmock.txt | $(READY)
	@echo "Making .venv-llmock with the packages of llmock."; \
	$(BIN)/python -m venv --clear --without-pip .venv-llmock \
	&& $(BIN)/python $(PIP) --python .venv-llmock/bin/python install --quiet --require-hashes -r requirements/llmock.txt \
	&& touch $@ \
	|| { rm -rf .venv-llmock; echo "pip could not install llmock: the tests that ask it are skipped."; }

# Debian's browser, for the tests that look at pages in one. It is tried where that needs nobody's password.
chromium:
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "No chromium here: the tests that look at pages in a browser are skipped."; exit 0; fi; \
	echo "Installing chromium, for the tests that look at pages in a browser."; \
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } \
	  >/dev/null 2>&1 </dev/null \
	|| echo "apt-get could not install chromium: the tests that look at pages in a browser are skipped."

# Debian's server, which tests start on a port of their own; the one that the package would start is not needed.
postgres:
	@if command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "No PostgreSQL here: the tests that keep jobs in it are skipped."; exit 0; fi; \
	echo "Installing PostgreSQL, for the tests that keep jobs in it."; \
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql; } \
	  >/dev/null 2>&1 </dev/null \
	|| echo "apt-get could not install PostgreSQL: the tests that keep jobs in it are skipped."

# Kept beside other caches, under the version it is of, so that a fresh clone finds it; npm is asked only for another.
aimock:
	@folder="$${XDG_CACHE_HOME:-$$HOME/.cache}/converge/aimock"; stamp="$$folder/.ready-$(AIMOCK)"; \
	if [ -e "$$stamp" ]; then exit 0; fi; \
	if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null || ! npm --version >/dev/null 2>&1; \
	then echo "No npm with Node 20 or newer here: the tests that ask aimock are skipped."; exit 0; fi; \
	echo "Installing aimock $(AIMOCK) in $$folder."; \
	mkdir -p "$$folder" && rm -f "$$folder"/.ready-* \
	&& npm install --prefix "$$folder" --save-exact --ignore-scripts --no-audit --no-fund --silent --fetch-retries 1 \
	  --fetch-retry-mintimeout 1000 "@copilotkit/aimock@$(AIMOCK)" >/dev/null \
	&& touch "$$stamp" \
	|| echo "npm could not install aimock: the tests that ask it are skipped."

# As aimock. v1.5.1 is the newest that `go install` takes: those after it replace a module of their own.
temporal-server:
	@folder="$${XDG_CACHE_HOME:-$$HOME/.cache}/converge/temporal"; stamp="$$folder/.ready-$(TEMPORAL)"; \
	if [ -e "$$stamp" ]; then exit 0; fi; \
	if ! command -v go >/dev/null; \
	then echo "No Go here: the tests that ask a Temporal server are skipped."; exit 0; fi; \
	echo "Building the Temporal server $(TEMPORAL) in $$folder; once, some minutes."; \
	mkdir -p "$$folder" && rm -f "$$folder"/.ready-* \
	&& GOBIN="$$folder" go install "github.com/temporalio/cli/cmd/temporal@$(TEMPORAL)" >/dev/null 2>"$$folder/build.log" \
	&& touch "$$stamp" \
	|| echo "Go could not build the Temporal server (see $$folder/build.log): the tests that ask it are skipped."
