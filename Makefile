# One command each, on a machine that has nothing but Python 3.11 and make.
# make run | test | check | bench | bench-quality | container | clean

PYTHON := $(or $(PYTHON),$(firstword $(shell command -v python3.11 python3)))
PORT ?= 8000
DATA := data/sample
MODELS := model_files
BENCHMARKS := prepare wmf softmax service startup
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: run models port test container check bench bench-quality clean
.NOTPARALLEL:  # two pips in one environment break it

run: port models  ## install, make sample data, train every model, serve on PORT
	@python scripts/serve.py --models $(MODELS) --port $(PORT)

models: .venv/training
	@scripts/sample-models $(DATA) $(MODELS)

port:
	@$(PYTHON) -c "import socket, sys; sys.exit(socket.socket().connect_ex(('127.0.0.1', $(PORT))) == 0)" \
	|| { echo "Port $(PORT) is taken. Choose another: make run PORT=$$(($(PORT) + 1))" >&2; exit 1; }

test: .venv/training .venv/test  ## every test but that of the images
	pytest -m "not container"

container: .venv/training .venv/test  ## build the images, run them, ask for a playlist, stop them
	pytest -m container

check: .venv/training .venv/check  ## format, lint, types, import contracts
	ruff format --check
	ruff check
	mypy
	lint-imports

bench: .venv/training .venv/benchmark  ## print ratios and write benchmarks/results/*.json
	for name in $(BENCHMARKS); do python -m benchmarks.$$name || exit; done

bench-quality: .venv/training .venv/benchmark  ## the figures of README.md, docs/results.md and docs/similar-tracks.md; needs TUTTI_DATA, about two hours
	python -m benchmarks.quality
	python -m benchmarks.wmf quality
	python -m benchmarks.softmax
	python -m benchmarks.guests
	python -m benchmarks.similar_tracks
	python -m benchmarks.group_strategies --model blend ease
	python -m benchmarks.fair_share_shapes
	python -m benchmarks.recency
	python -m benchmarks.wmf_regularization
	python -m benchmarks.item_knn_shrinkage

clean:  ## forget the sample data, so that the next run makes it and trains on it anew; versions of models stay
	rm -rf $(DATA) $(MODELS)/.sample-models

# The environment, then one stamp for each extra of pyproject.toml: a target installs what it needs and no more.

.venv/created:
	@$(PYTHON) -m venv --clear .venv
	@pip install --quiet --constraint constraints.txt setuptools
	@touch $@

.venv/%: pyproject.toml constraints.txt $(wildcard service/core/*.[ch]) | .venv/created
	@echo "Installing what $* needs; the first time takes minutes"
	@pip install --quiet --no-build-isolation --constraint constraints.txt --editable '.[$*]'
	@python -c "import service.core._compiled" 2>/dev/null \
	|| echo "Without gcc and Python's headers groups are ranked in numpy and torch alone, which takes longer." >&2
	@touch $@
