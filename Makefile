# Every daily command. `make help` lists them; each sets up what it needs.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# the newest Python of 3.11 or later
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
UV := $(shell command -v uv 2>/dev/null)
RUN_STAMP := $(VENV)/.run
# in a variable, since a comma would part the arguments of a call
RUN_EXTRAS := .[local,gateway]
DEV_STAMP := $(VENV)/.dev
DOCS_STAMP := $(VENV)/.docs
# other people's programs, against which the live tests run
LIVE := .live
LIVE_STAMP := $(VENV)/.live
PEERS := openai-old openai-new litellm
CLIENTS := tests/live/clients

export PIP_DISABLE_PIP_VERSION_CHECK := 1

# exported as typed: a dollar sign in a prompt is no variable of make
ifdef PROMPT
override export PROMPT := $(value PROMPT)
endif
ifdef BASE_URL
override export BASE_URL := $(value BASE_URL)
endif
ifdef MODEL
override export MODEL := $(value MODEL)
endif

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make chat PROMPT="..."      asks one question; without PROMPT, a conversation'
	@echo '  make chat MODEL=smollm2     takes the smaller model; FILE.gguf takes yours'
	@echo '  make chat BASE_URL=http://... asks an OpenAI-compatible server instead'
	@echo '  make test ARGS="-k weir"    passes arguments to pytest'

.PHONY: chat
chat: $(RUN_STAMP) ## set up everything and stream an answer from the embedded model
	@# a provider of the environment is not asked: only BASE_URL names one here
	@env -u OPENAI_API_KEY -u DELTAWEIR_BASE_URL DELTAWEIR_PROMPT="$$PROMPT" \
		$(BIN)/deltaweir chat $${MODEL:+--model "$$MODEL"} $${BASE_URL:+--base-url "$$BASE_URL"}

.PHONY: test
test: $(DEV_STAMP) ## set up everything and run the tests (Python only, under five minutes)
	@$(BIN)/deltaweir model pull smollm2 >/dev/null
	@# more than four would only wait for the embedded model, which takes all cores
	@$(BIN)/python -m pytest -m "not live" -n auto --maxprocesses 4 --dist worksteal $(ARGS)

.PHONY: test-live
test-live: $(LIVE_STAMP) $(PEERS:%=$(LIVE)/%/.done) $(LIVE)/node/.done ## run the tests that need the default model and other programs
	@$(BIN)/python -m pytest -m live $(ARGS)

.PHONY: cov
cov: $(DEV_STAMP) ## run the tests and show what they do not cover
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q -m "not live" $(ARGS)
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

.PHONY: lint
lint: $(DEV_STAMP) ## check style, form and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

.PHONY: format
format: $(DEV_STAMP) ## rewrite the code in the project's form
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

.PHONY: types
types: $(DEV_STAMP) ## check the types of everything
	@$(BIN)/mypy

.PHONY: docs
docs: $(DOCS_STAMP) ## build the documentation into site/; warnings are errors
	@# the theme would else announce a version of mkdocs that we do not use
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html" >&2

.PHONY: bench
bench: $(DEV_STAMP) ## measure; see benchmarks/README.md
	@for one in benchmarks/bench_*.py; do echo "== $$one"; $(BIN)/python $$one || exit 1; done

.PHONY: fuzz
fuzz: $(DEV_STAMP) ## throw broken streams at the decoders for a minute
	@$(BIN)/python fuzz/run.py $(ARGS)

.PHONY: clean
clean: ## remove the environment and all that tools left
	rm -rf $(VENV) $(LIVE) site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz .coverage*

$(VENV)/pyvenv.cfg:
	@if [ -z "$(PYTHON)" ] && [ -z "$(UV)" ]; then \
		echo "make: no Python of 3.11 or later was found; install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; fi
	@echo "Making $(VENV) ..." >&2
	@if [ -n "$(UV)" ]; then $(UV) venv --quiet --python '>=3.11' $(VENV); \
	else $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "make: this Python cannot make environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; fi

$(RUN_STAMP): pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing Deltaweir, the engine of its embedded model and the gateway (about 130 MB) ..." >&2
	@$(call install,$(RUN_EXTRAS))
	@touch $@

$(DEV_STAMP): pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing Deltaweir and what its tests need (about 200 MB) ..." >&2
	@$(call install,.[dev])
	@touch $@ $(RUN_STAMP)

$(DOCS_STAMP): pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing what builds the documentation ..." >&2
	@$(call install,.[docs])
	@touch $@

$(LIVE_STAMP): pyproject.toml | $(DEV_STAMP)
	@echo "Installing what the live tests need ..." >&2
	@$(call install,.[live])
	@touch $@

$(PEERS:%=$(LIVE)/%/.done): $(LIVE)/%/.done: $(CLIENTS)/requirements-%.txt | $(DEV_STAMP)
	@echo "Installing $$(tail -n 1 $<) for the live tests ..." >&2
	@rm -rf $(LIVE)/$* && $(BIN)/python -m venv $(LIVE)/$*
	@$(LIVE)/$*/bin/python -m pip install -q -r $<
	@touch $@

$(LIVE)/node/.done: $(CLIENTS)/package.json
	@mkdir -p $(LIVE)/node && cp $< $(LIVE)/node/
	@if command -v npm >/dev/null 2>&1; then \
		echo "Installing the openai package for Node ..." >&2; \
		npm install --prefix $(LIVE)/node --no-audit --no-fund --silent && touch $@; \
	else echo "npm is not installed; the tests of the Node client will be skipped" >&2; fi

# stdout belongs to the answer, so that `make chat` can be piped
install = if [ -n "$(UV)" ]; then VIRTUAL_ENV=$(CURDIR)/$(VENV) $(UV) pip install -e '$(1)' >&2; \
	else $(BIN)/python -m pip install $$([ -t 2 ] || echo -q) -e '$(1)' >&2; fi
