# Two commands need no preparation: `make demo` and `make test`. Each makes .venv first where it is missing or stale.

VENV ?= .venv
# The first Python on the path that is new enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
READY := $(VENV)/.ready
BIN := $(VENV)/bin

# Options of a command, as far as variables of their names (FRAMES_IN of --frames-in) stand on make's command line: NAME or
# SOURCE in somebody's environment mean something else. Quoted for the shell, so that globs and spaces arrive as typed.
typed = $(foreach name,$(1),$(if $(call given,$(name)),$(call option,$(name)) $(call given,$(name))))
option = --$(shell echo $(1) | tr A-Z_ a-z-)
given = $(if $(filter command,$(origin $(1))),'$(subst ','\'',$($(1)))')

.PHONY: demo up catalog status verify-archive benchmark ablation bench gpu skill test test-all faults lint docs wheel lock clean

demo: $(READY)
	@$(BIN)/simvp demo $(call given,DATA) $(call typed,SOURCE VARIABLES UNITS SELECT STEP NAME FRAMES_IN FRAMES_OUT CYCLE EPOCHS)

up: $(READY)
	@exec $(BIN)/simvp up

catalog: $(READY)
	@$(BIN)/simvp catalog $(call given,NAME)

status: $(READY)
	@$(BIN)/simvp status $(call given,NAME)

# Everything that a data set has kept, read whole: 0 if it is whole, 1 if not; HEAL=yes mends what can be.
verify-archive: $(READY)
	@$(BIN)/simvp verify-archive $(or $(call given,NAME),$(call given,DATA)) $(if $(filter 'yes',$(call given,HEAL)),--heal)

benchmark: $(READY)
	@$(BIN)/simvp benchmark $(call given,DATA) $(call typed,VARIANT PRESET EPOCHS SEED SET CHECKPOINT)

ablation: $(READY)
	@$(BIN)/simvp ablation $(call given,DATA) $(call typed,PRESET EPOCHS SEED SET)

# Speed and memory, side by side with what one would use instead; ONLY=step,ingest measures these sections alone.
bench: $(READY)
	@$(BIN)/python -m performance $(call typed,ONLY)

# On a machine with a GPU, nine minutes in steps that each leave their result: gpu-run/report.md; FOLDER=DIR, MINUTES=5.
gpu: $(READY)
	@$(BIN)/python -m performance.gpu $(call typed,MINUTES FOLDER)

# RMSE and gate of every data set that is here, with default settings: docs/skill.md; ONLY=era5-uk SEEDS=3.
skill: $(READY)
	@$(BIN)/python -m performance.skill $(call typed,ONLY SEEDS)

# Two files of tests at a time: most of them keep one core busy.
test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-all: $(READY)
	$(BIN)/python -m pytest -m 'slow or not slow' --hypothesis-profile default

# Kills of first starts, stages and stores at random moments, faults of the machine, and a year of operations: hours.
faults: $(READY)
	FAULTS=$${FAULTS:-200} $(BIN)/python -m pytest -m 'slow or not slow' tests/faults tests/datasets/store/test_kills.py \
		tests/flows/commands/test_bucket.py

lint: $(READY)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

# The site of docs/, into docs/_build/html: no network, no warnings; its examples run on two cores in a few minutes.
docs: $(READY)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html

wheel: $(READY)
	$(BIN)/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist .

# New versions of everything: a fresh environment from the ranges in pyproject.toml, written down without local
# versions, and without the comment lines on top being lost.
lock:
	rm -rf $(VENV).lock
	$(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/python -m pip install '.[dev]'
	{ sed -n '/^#/p' requirements.lock; $(VENV).lock/bin/python -m pip freeze --all --exclude simvp \
		--exclude pip | sed 's/+.*//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf $(VENV).lock

clean:
	rm -rf $(VENV) build dist *.egg-info

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "simvp needs Python 3.11 or newer; none was found on the path" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing what requirements.lock pins into $(VENV); this takes a few minutes the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
