# Everything runs from .venv, which `make demo` and `make test` build when it is missing.
# A machine whose Python lacks venv gets the same packages through pip, in .venv/site, and changes nothing else.

PYTHON ?= python3
RUN := .venv/bin/python
READY := .venv/.ready
EXTRAS := test,docs
export PYTHONHASHSEED := 0
export MPLBACKEND := Agg

.PHONY: demo test test-full lint bench pages docs notebooks notebooks-quick clean

demo: $(READY)
	$(RUN) -m accelsim compare a100_hdp bert_base_layer --schemes dense,tile_wise,hdp,tile_wise+hdp --out demo/bert_base_layer
	$(RUN) -m accelsim compare edge_hdp digits_vit --schemes dense,tile_wise,hdp,tile_wise+hdp --out demo/digits_vit

# On two cores; what the compiled kernels leave of them is not much.
test: $(READY)
	$(RUN) -m pytest -q -n 2 -m "not slow" tests

test-full: $(READY)
	$(RUN) -m pytest -q tests
	$(MAKE) notebooks

lint: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -c "from importlinter.cli import lint_imports_command as lint; lint()"

bench: $(READY)
	$(RUN) benchmarks/bench_kernels.py
	$(RUN) -m benchmarks.bench_sparse_kernels
	$(RUN) -m benchmarks.bench_events

# What README and pages take from runs. Needs the measured table only for docs/validation.md (ACCELSIM_DATA).
pages: $(READY)
	$(RUN) docs/generate.py

docs: $(READY)
	rm -rf docs/_build
	$(RUN) -m sphinx -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# NAMES="tile_wise_v100 ..." for some of them; in full they are written with their outputs, in quick mode only run.
notebooks: $(READY)
	$(RUN) notebooks/execute.py $(NAMES)

notebooks-quick: $(READY)
	$(RUN) notebooks/execute.py --quick $(NAMES)

$(READY): setup.cfg pyproject.toml constraints.txt
	rm -rf build .venv/site
	@if $(PYTHON) -m venv .venv 2>/dev/null; then \
		$(RUN) -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"; \
	else \
		mkdir -p .venv/bin && \
		$(PYTHON) -m pip install -q --disable-pip-version-check -c constraints.txt --target .venv/site ".[$(EXTRAS)]" && \
		printf '#!/bin/sh\nPYTHONPATH="%s/.venv/site" exec %s "$$@"\n' "$(CURDIR)" "$(PYTHON)" > $(RUN) && chmod +x $(RUN); \
	fi
	@touch $(READY)

clean:
	rm -rf .venv build dist demo runs docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
