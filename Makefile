# make report · make test · make bench · make readme · make notebooks · make lint · make constraints · make clean
# Every target makes .venv first if it is missing or older than the list of dependencies.

PROFILE ?= quick
DATA_DIR ?=
CORES ?= all
PYTHON ?= python3
BIN := .venv/bin

export PROFILE DATA_DIR CORES  # to be quoted by the shell

.PHONY: report test bench readme notebooks lint constraints clean
.DELETE_ON_ERROR:

report: .venv/installed
	@$(BIN)/python -m study report --profile "$$PROFILE" --data-dir "$$DATA_DIR" --cores "$$CORES"

test: .venv/installed
	@$(BIN)/python -m pytest -n 2 --dist worksteal

.venv/installed: pyproject.toml constraints.txt
	@echo "installing into .venv (a few minutes the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

bench: .venv/installed  ## the speed notebook with PyTorch beside
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m study notebook notebooks/11_speed.ipynb build/bench/11_speed.ipynb \
		-p image_sizes '67 131 227' -p batch_sizes '8 32 128' -p detail True -p timings build/bench/speed.csv -p figures_dir build/bench

readme: .venv/installed  ## write the README's generated parts from data/results
	@$(BIN)/python -m study readme

notebooks: .venv/installed  ## open the notebooks in Jupyter
	@$(BIN)/jupyter lab notebooks

lint: .venv/installed
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

constraints:  ## pin anew: the newest versions that pip finds
	@$(PYTHON) -m venv build/pin && build/pin/bin/python -m pip install --quiet '.[test,bench]'
	@build/pin/bin/python -m pip freeze --exclude adasmooth-alexnet | sed 's/+cpu//' > constraints.txt

clean:  ## everything that can be made again; published results and figures stay
	rm -rf build data/prepared .snakemake
