# make help lists what there is to do.
.DEFAULT_GOAL := help
SHELL := /bin/sh
.DELETE_ON_ERROR:
# Every process that a test starts would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
UV_VERSION := 0.13.9
PARTS := $(addprefix build/lock/,0 1 2)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes --no-deps
# Two more than the two cores that the tests are tuned for: some tests wait.
WORKERS ?= 4

# Scripts in a virtual environment name its absolute path, so a copied or moved tree needs a new one:
# the stamps carry a checksum of the place they were made in.
HERE := $(shell pwd -P | cksum | cut -d' ' -f1)
VENV := .venv/.venv-$(HERE)
DEPS := .venv/.deps-$(HERE)
INSTALLED := .venv/.installed-$(HERE)

.PHONY: help setup protos lint style types format docs site test tests browser bench demo lock clean $(PARTS)

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: $(INSTALLED) ## create .venv, install pinned dependencies and the project, compile the protos
	@$(BIN)/python protos/build.py

protos: $(DEPS) ## compile the protos only
	@$(BIN)/python protos/build.py

# The first interpreter that is new enough; make PYTHON=... takes another.
$(VENV):
	@for python in $(PYTHON) python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "creating .venv with $$("$$python" --version)"; \
	    "$$python" -m venv --clear .venv && touch $@; exit; \
	  fi; \
	done; \
	echo "error: Python 3.11 or newer is needed, none found on PATH" >&2; exit 1

# Most modules of the dependencies are never imported: those that are get compiled then. pip takes most of its time to
# read which versions an index has, package after package. So several install a part of the lock each. If one fails, the
# whole lock follows: what is there already takes no time, and what is wrong is said once.
$(DEPS): requirements.lock Makefile $(VENV)
	@echo "installing pinned dependencies"
	@$(MAKE) --jobs --keep-going $(PARTS) > /dev/null 2>&1 || $(PIP_INSTALL) -r requirements.lock
	@touch $@

$(PARTS):
	@mkdir -p $(@D)
	@awk -v parts=$(words $(PARTS)) -v part=$(@F) '/^[^ #]/ { i++ } i % parts == part' requirements.lock > $@
	@$(PIP_INSTALL) -r $@

# The build compiles the protos too, but wraps an error in them into pages of its own. The compatible mode
# puts the root into .venv as a path, and here protos follows. The other modes put an import hook there, which each
# Python process would load.
$(INSTALLED): pyproject.toml setup.py $(DEPS)
	@echo "installing lbrlab"
	@$(BIN)/python protos/build.py
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@$(BIN)/python -c 'import sysconfig as s; open(s.get_path("purelib") + "/lbrlab_protos.pth", "w").write("$(shell pwd -P)/protos\n")'
	@touch $@

lint: style types ## ruff, buf lint, mypy

style: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint build/protos/image.binpb --path lbrlab

types: setup
	$(BIN)/mypy

format: setup ## rewrite the sources the way lint wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## write the pages of docs/reference again, from the program
	@mkdir -p build docs/reference
	@$(BIN)/lbrlab lang --markdown > docs/reference/language.md
	@$(BIN)/lbrlab invariants --markdown > docs/reference/invariants.md
	@$(BIN)/lbrlab designs --markdown > docs/reference/designs.md
	@$(BIN)/lbrlab msrs --markdown > docs/reference/msrs.md
	@$(BIN)/lbrlab contract --no-runs --markdown > docs/reference/contract.md
	@$(BIN)/python -c 'from contract.wire.settings.show import page; print(page(), end="")' > docs/reference/settings.md
	@$(BIN)/python -m client.cli.reference commands > docs/reference/commands.md
	@$(BIN)/python -m client.cli.reference schemas > docs/reference/schemas.json
	@$(BIN)/lbrlab run central-story -d revoke-gp --fault 'drop Revoke 1' -o build/story.json > build/story.txt; test $$? -eq 1
	@$(BIN)/lbrlab export build/story.json --to svg -o docs/central-story.svg

SPHINX = $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs --doctree-dir build/doctrees

site: setup ## build the documentation as a site in build/site, and the man page build/man/lbrlab.1
	$(SPHINX) . build/site
	$(SPHINX) --builder man . build/man

test: style ## lint and all tests
	@$(MAKE) --no-print-directory -j 2 types tests

# Each worker begins with a part of the files, so that what the tests of a file share is made once.
tests: setup browser ## all tests, without lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The report is tested in a browser. Its package differs between distributions; the tests look for several names.
browser: ## install headless Chromium, if there is no browser
	@for name in $$LBRLAB_BROWSER chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do \
	  if command -v "$$name" > /dev/null; then exit; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	  echo "installing chromium-headless-shell"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-dejavu-core > /dev/null; \
	else \
	  echo "note: no Chromium found; install one (as root: make browser), or the tests of the report are skipped" >&2; \
	fi

bench: setup ## measure
	$(BIN)/python -m tests.bench

# The demo ends with 1, "violated": it shows broken designs on purpose. Any other status, 0 included,
# means that it did not show what it should.
demo: setup ## show what the lab finds
	@$(BIN)/lbrlab demo; status=$$?; \
	if [ $$status -ne 1 ]; then echo "error: lbrlab demo ended with $$status, expected 1" >&2; exit 1; fi

lock: ## resolve pyproject.toml into requirements.lock anew
	@mkdir -p build
	@python3 -m venv build/uv
	@build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --output-file requirements.lock pyproject.toml

clean: ## remove everything that is made, .venv too
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis protos/buf
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find protos -name '*_pb2*.py' -o -name '*_pb2.pyi' | xargs rm -f
