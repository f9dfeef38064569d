# Thin targets over the commands of the README; `make setup` alone prepares everything they need.
BIN := .venv/bin
# Read when a recipe runs, after setup: the Julia that it found (empty: none, the torch engine runs).
JULIA = $(shell cat .venv/julia 2>/dev/null)
WITH_JULIA = $(if $(JULIA),PYVDA_JULIA='$(JULIA)')

.PHONY: environment setup demo docs links test test-python test-julia test-exhaustive test-fast test-matrix bench bench-ocean bench-peers lint

# What needs no Julia; `setup` finds or installs one as well, and compiles pyvda's Julia code.
environment:
	@scripts/environment.sh

setup:
	@scripts/setup.sh

demo: setup
	mkdir -p demo
	$(WITH_JULIA) $(BIN)/pyvda info
	$(WITH_JULIA) $(BIN)/pyvda simulate lorenz63 --windows 200 --seed 11 -o demo/truth.nc
	$(WITH_JULIA) $(BIN)/pyvda observe demo/truth.nc --preset lorenz63-blanked --seed 12 -o demo/obs.nc
	$(WITH_JULIA) $(BIN)/pyvda assimilate demo/obs.nc --model lorenz63 --method fsgd --iterations 20000 -o demo/analysis.nc
	$(WITH_JULIA) $(BIN)/pyvda assimilate demo/obs.nc --checkpoint lorenz63-blanked-shooting -o demo/learned.nc
	$(WITH_JULIA) $(BIN)/pyvda score demo/analysis.nc demo/learned.nc --truth demo/truth.nc
	$(WITH_JULIA) $(BIN)/pyvda plot demo/analysis.nc --truth demo/truth.nc -o demo/analysis.png
	$(WITH_JULIA) $(BIN)/pyvda plot demo/learned.nc --truth demo/truth.nc -o demo/learned.png
	$(WITH_JULIA) $(BIN)/pyvda simulate quasi-geostrophic --parameter n=65 --windows 1 --steps 11 --seed 1 -o demo/ocean.nc
	$(WITH_JULIA) $(BIN)/pyvda observe demo/ocean.nc --preset qg-altimetry --seed 2 -o demo/tracks.nc
	$(WITH_JULIA) $(BIN)/pyvda assimilate demo/tracks.nc --variable psi --method oi --grid demo/ocean.nc -o demo/map.nc
	$(WITH_JULIA) $(BIN)/pyvda plot demo/map.nc --truth demo/ocean.nc --observations demo/tracks.nc -o demo/map.png

# Two workers on two cores, each with one thread of torch and of Julia; the one that is done first takes tests of the other.
PYTEST = OMP_NUM_THREADS=1 PYVDA_THREADS=1 $(WITH_JULIA) $(BIN)/python -m pytest --numprocesses=2 --dist=worksteal

test: test-python test-julia

test-python: setup
	$(PYTEST) -m "not exhaustive" --durations=30

# Further cases of what `make test` covers, scores over many windows, and a thousand examples of
# malformed input for each test of tests/fuzzing.py.
test-exhaustive: setup
	$(PYTEST) -m exhaustive --durations=30
	PYVDA_FUZZ_EXAMPLES=$${PYVDA_FUZZ_EXAMPLES:-1000} $(PYTEST) --durations=30 $$(grep -rlw fuzzed --include='test_*.py' tests)

test-julia: setup
	@if [ -s .venv/julia ]; then set -x; "$$(cat .venv/julia)" --startup-file=no --threads=2 --project=julia julia/test/runtests.jl; \
	else echo "julia/test was not run: no Julia"; [ -z "$$PYVDA_REQUIRE_JULIA" ]; fi

# A few minutes: no whole trainings or tables, and nothing whose subject is Julia's part.
test-fast: setup
	PYVDA_KERNELS=torch $(PYTEST) -m "not slow and not exhaustive and not julia"

# Wheels in clean environments: minutes of downloads.
test-matrix: setup
	$(WITH_JULIA) $(BIN)/python scripts/test_matrix.py

# The pages are executed; their outputs are kept in build/pages until the sources change.
docs: setup .venv/docs
	$(WITH_JULIA) $(BIN)/python -m sphinx -W --keep-going --quiet -b html docs build/site
	$(BIN)/python scripts/check_site.py build/site docs
	@echo "build/site/index.html"

# Addresses outside of the site; needs the network. Their builder executes no page.
links: setup .venv/docs
	DOCS_ONLINE=1 $(WITH_JULIA) $(BIN)/python -m sphinx --quiet -b linkcheck -D nb_execution_mode=off docs build/links

.venv/docs: pyproject.toml constraints.txt | environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

bench: setup
	$(WITH_JULIA) $(BIN)/python benchmarks/run.py
	$(WITH_JULIA) $(BIN)/python benchmarks/own_models.py
	$(WITH_JULIA) $(BIN)/python benchmarks/learned.py
	$(WITH_JULIA) $(BIN)/python benchmarks/startup.py
	$(WITH_JULIA) $(BIN)/python benchmarks/workers.py

# The ocean: cycles of 4D-Var, their costs, and filters; parts of qg.py that are in its results are not run again.
bench-ocean: setup
	$(WITH_JULIA) $(BIN)/python benchmarks/qg.py
	$(WITH_JULIA) $(BIN)/python benchmarks/letkf.py

# The peers have an environment of their own: their requirements must not constrain pyvda's.
bench-peers: setup .venv-peers/installed
	$(WITH_JULIA) $(BIN)/python benchmarks/peers.py
	$(WITH_JULIA) $(BIN)/python benchmarks/setups.py
	$(WITH_JULIA) $(BIN)/python benchmarks/reference_values.py

.venv-peers/installed: benchmarks/peers/requirements.txt | setup
	$(BIN)/python -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --requirement $<
	benchmarks/peers/build_ocean.sh .venv-peers/bin/python
	touch $@

lint: environment
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy pyvda
