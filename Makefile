# make alone lists what there is. Every target makes .venv first if it is missing or older than the list of dependencies.

PROFILE ?= quick
DATA_DIR ?=
CORES ?= all
PYTHON ?= python3
BIN := .venv/bin

export PROFILE DATA_DIR CORES  # to be quoted by the shell

.PHONY: help report test bench lab lint constraints clean
.DELETE_ON_ERROR:

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

report: .venv/installed  ## run the study and make its report (PROFILE=quick or full, DATA_DIR=path/to/stanford_cars)
	@$(BIN)/python -m study report --profile "$$PROFILE" --data-dir "$$DATA_DIR" --cores "$$CORES"

test: .venv/installed  ## run all tests
	@$(BIN)/python -m pytest -n 2 --dist worksteal

.venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv (a few minutes the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

bench: .venv/installed  ## measure the speed, with PyTorch beside (installs it)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m study notebook notebooks/11_speed.ipynb build/bench/11_speed.ipynb \
		-p image_sizes '67 131 227' -p batch_sizes '8 32 128' -p detail True -p timings build/bench/speed.csv -p figures_dir build/bench

lab: .venv/installed  ## open the notebooks in Jupyter
	@$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

lint: .venv/installed  ## check style, and that notebooks have no outputs
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

constraints:  ## pin anew: the newest versions that pip finds
	@$(PYTHON) -m venv build/pin && build/pin/bin/python -m pip install --quiet '.[test,bench]'
	@build/pin/bin/python -m pip freeze --exclude adasmooth-alexnet | sed 's/+cpu//' > constraints.txt

clean:  ## remove everything that can be made again; published results and figures stay
	rm -rf build data/prepared .snakemake
