# make alone lists what there is. Every target makes .venv first if it is missing or older than the list of dependencies.

PROFILE ?= quick
DATA_DIR ?=
CORES ?= all
LAB ?=
PYTHON ?= python3

# Who works in an environment that this checkout is installed into (environment.yml makes one) goes on there.
ACTIVE := $(or $(VIRTUAL_ENV),$(CONDA_PREFIX))
HERE := import importlib.util as u, os, sys; f = u.find_spec("study"); sys.exit(not (f and os.path.samefile(f.origin, "src/study/__init__.py")))
BIN := $(if $(ACTIVE),$(shell "$(ACTIVE)/bin/python" -c '$(HERE)' 2>/dev/null && echo "$(ACTIVE)/bin"),)
READY := $(if $(filter-out $(CURDIR)/.venv/bin,$(BIN)),,.venv/installed)
BIN := $(or $(BIN),.venv/bin)
PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt

# As they were typed, to be quoted by the shell: make would read a $ in them.
export ASKED_PROFILE = $(value PROFILE)
export ASKED_DATA_DIR = $(value DATA_DIR)
export ASKED_CORES = $(value CORES)
export PYTHONUTF8 := 1
unexport PROFILE DATA_DIR CORES MPLBACKEND

.PHONY: help report published test bench lab lint constraints clean
.DELETE_ON_ERROR:

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: $(READY)  ## run a profile and make its report (PROFILE=quick, full or mine.yaml, DATA_DIR=path/to/stanford_cars)
	@exec "$(BIN)/python" -m study report --profile "$$ASKED_PROFILE" --data-dir "$$ASKED_DATA_DIR" --cores "$$ASKED_CORES"

published: $(READY)  ## make docs/index.html again from the run files (DATA_DIR=... if a notebook with photographs has changed)
	@STUDY_DATA_DIR="$$ASKED_DATA_DIR" "$(BIN)/python" -m snakemake published --cores "$$ASKED_CORES" \
		--quiet rules host reason --config profile=full publish=1

test: $(READY)  ## run the tests; those of whole workflows and in a browser: pytest -m slow -n 0
	@"$(BIN)/python" -m pytest -n 2 --dist worksteal

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.version_info[:2] > (3, 10) or sys.exit("error: Python 3.11 or newer is needed, $(PYTHON) is " + v + "; name another: make PYTHON=python3.12")'
	@echo "installing into .venv (a few minutes the first time) ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP) -e '.[test]'
	@touch $@

bench: $(READY)  ## measure the speed, with PyTorch beside (installs it)
	@"$(BIN)/python" $(PIP) -e '.[bench]'
	@"$(BIN)/python" -m study notebook notebooks/11_speed.ipynb build/bench/11_speed.ipynb \
		-p image_sizes '67 131 227' -p batch_sizes '8 32 128' -p detail True -p timings build/bench/speed.csv -p figures_dir build/bench

lab: $(READY)  ## open the notebooks in Jupyter
	@JUPYTER_PREFER_ENV_PATH=1 "$(BIN)/python" -m jupyterlab --ServerApp.root_dir="$$PWD" --ServerApp.preferred_dir="$$PWD" \
		--LabApp.default_url=/lab/tree/notebooks $(LAB)

lint: $(READY)  ## check style, and that notebooks have no outputs
	@"$(BIN)/ruff" check . && "$(BIN)/ruff" format --check . && "$(BIN)/nbstripout" --verify --keep-id notebooks/*.ipynb

constraints:  ## pin anew: the newest versions that pip finds
	@$(PYTHON) -m venv build/pin && build/pin/bin/python -m pip install --quiet '.[test,bench,cluster]'
	@build/pin/bin/python -m pip freeze --exclude adasmooth-alexnet | sed 's/+cpu//' > constraints.txt

clean:  ## remove everything that can be made again; published results and figures stay
	rm -rf build data/prepared .snakemake
