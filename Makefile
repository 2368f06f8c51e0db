# make demo   the main job on the example recording, with 2 ranks: DATA=path/to/recording for your
#             own; of a movie in one file NPLANES=1, too; PYTHON=python3.12 for another Python
# make test   every test: serial, and at 2 and 3 ranks; on 4 and 25 what may differ there
# make test-phdf5  the collective tests with Open MPI and an h5py that has MPI
# make docs   the documentation, in build/docs
# make test-hosts  jobs over four hosts, of this one machine, with both MPIs; only as root
# make test-slurm  jobs on a real SLURM of four such hosts, with both MPIs; only as root
# make test-fast  what one runs while working: neither jobs nor kills, in a minute
# make coverage  which part of the lines the tests reach, on one rank and two together
# make wheel  a wheel, tried in a venv of its own
# make fuzz   damaged files through the loaders, MINUTES=10 of them
# make faults  each fault of a machine in each output, 1,600 of them, and jobs that start together
# make bench  how fast it is, beside what the machine can do
# make bench-motion  how well and how fast recordings are registered whose motion is known: half an hour
# Everything is set up in .venv, once; nothing outside this directory is written, but that tests have
# files in /dev/shm while they run, and that test-phdf5 and test-slurm, as root, install the Debian
# packages that they miss.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TMP    := build/tmp
DEV    := $(VENV)/.test $(VENV)/.lint
PHDF5  := .venv-phdf5
RANKS  ?= 1 2 3
# The files with tests of this mark: to collect the thousands of the others takes long on each rank.
marked = $(shell grep -l 'mark\.$(1)' -r tests --include="test_*.py")
COLLECTIVE := $(call marked,ranks)
# Those of more than content: what ranks, nodes or the libraries MPI and HDF5 may change.
in_folders = $(filter $(1:%=tests/%/%),$(COLLECTIVE))
OF_MPI := $(filter-out tests/api/test_dumb_inputs.py,$(filter tests/commands/test_doctor.py \
  tests/readers/test_hdf5% tests/readers/test_chunks_once.py,$(COLLECTIVE)) \
  $(call in_folders,api conversion engine exchange factorization methods spmd statistics \
  writers))
OF_NODES := $(OF_MPI) $(call in_folders,registration report)
# Of the serial tests those that pytest is told to run: SERIAL='-m slow tests/spmd'.
SERIAL ?= tests
# Seconds after which a job of tests is ended.
LIMIT := 2400
# On one rank they are a part of test-serial.
RANKED := $(patsubst %,test-ranks-%,$(filter-out 1,$(RANKS)) nodes 25)
# Each file has hosts of its own, so that they share their waits.
ON_HOSTS := $(patsubst tests/hosts/test_%.py,on-hosts-%,$(wildcard tests/hosts/test_*.py))
IN_MEMORY := TMPDIR=$$(test -d /dev/shm && echo /dev/shm || echo $$TMPDIR)
# As it was typed: make itself reads a $ in it otherwise.
override DATA := $(value DATA)
export DATA
MINUTES ?= 10
MPIEXEC := $(BIN)/mpiexec
KERNELS := setup.py pyproject.toml $(wildcard src_c/*.h src_c/*/*) $(wildcard mpimages/kernels/*.pyx mpimages/kernels/*.pxd)

# Small jobs on few cores: one thread each for whatever library would start its own.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MPLBACKEND := Agg
# Ranks that wait leave the core to those that have something to do.
export MPIR_CVAR_POLLS_BEFORE_YIELD := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Each job starts many processes: none of them shall compile the modules anew.
unexport PYTHONDONTWRITEBYTECODE
# Whoever has chosen a place for pip's cache keeps it; the usual one is outside.
ifndef PIP_CACHE_DIR
export PIP_NO_CACHE_DIR := 1
endif
# What libraries and tests write on the side stays in here too.
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib
export TMPDIR := $(CURDIR)/$(TMP)

.PHONY: setup demo test test-fast lint stubs test-serial test-ranks test-ranks-nodes test-phdf5 \
  test-hosts on-hosts $(ON_HOSTS) test-slurm on-slurm coverage coverage-1 coverage-1-rest coverage-2 wheel docs tutorial sanitize fuzz faults bench bench-mpio bench-motion clean

setup: $(DEV)

# $(call quietly,COMMAND): silent, but that the end of what it has said is shown where it fails.
LOG = $(TMP)/log$(@F)
quietly = { $(1); } >$(LOG) 2>&1 || { tail -n 12 $(LOG); exit 1; }
# Of what is installed only what every start imports is compiled to bytecode: where Python may not
# write it, each start would do it again.
PIP := $(BIN)/python -m pip install --quiet --no-compile
STARTING := click h5py mpi4py numpy tifffile tqdm

# What users and the demo need: the package, with an MPI.
$(READY): $(KERNELS) | $(TMP)
	@.ci/can-build $(PYTHON)
	@test -x $(BIN)/pip || { echo "1/3 making an environment for Python in $(VENV): 10 s"; \
	  $(call quietly,$(PYTHON) -m venv $(VENV)); }
	@echo "2/3 installing NumPy, an MPI and the rest: 20 s, and the time to fetch 150 MB"
	@$(call quietly,$(BIN)/python .ci/needs build run mpi >$(TMP)/needs.txt && \
	  $(PIP) --requirement $(TMP)/needs.txt)
	@echo "3/3 compiling ten kernels: about a minute"
	@$(call quietly,$(PIP) --no-build-isolation --no-deps --editable .)
	-@$(BIN)/python -m compileall -q mpimages $(STARTING:%=$$(echo $(VENV)/lib/python*/site-packages/%))
	@touch $@

# What an extra names, without building the kernels once more.
EXTRAS := $(patsubst %,$(VENV)/.%,test lint docs coverage bench)
$(EXTRAS): $(VENV)/.%: $(READY) | $(TMP)
	@echo "installing what the extra $* names"
	@$(call quietly,$(BIN)/python .ci/needs $* >$(TMP)/$*.txt && $(PIP) --requirement $(TMP)/$*.txt)
	@touch $@

demo: $(READY)
	@$(MPIEXEC) -n 2 $(BIN)/python examples/demo.py $${NPLANES:+"--nplanes=$$NPLANES"} $${DATA:+-- "$$DATA"}

$(TMP):
	@mkdir -p $@

demo test test-fast test-serial $(RANKED) test-phdf5 test-hosts test-slurm coverage coverage-1 coverage-1-rest coverage-2 wheel docs tutorial \
  sanitize fuzz faults bench bench-mpio bench-motion: | $(TMP)

# All at once, as most tests wait for something: a disk, other processes, a limit.
test: lint
	$(MAKE) --no-print-directory --jobs=3 --output-sync=target test-serial $(RANKED)

# What one runs while working.
test-fast: $(DEV)
	$(IN_MEMORY) $(BIN)/python -m pytest tests -m "not slow" -n 2 --dist worksteal

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Whether the kernels' stubs are those of the modules.
stubs: $(DEV)
	$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml --ignore-disjoint-bases \
	  --allowlist .ci/stubtest-allowlist --ignore-unused-allowlist $(patsubst mpimages/kernels/%.pyi,\
	  mpimages.kernels.%,$(wildcard mpimages/kernels/*.pyi))

test-serial: $(DEV)
	$(BIN)/python -m pytest $(SERIAL) -n 3 --dist worksteal

test-ranks: $(RANKED)

# Files on disks on two ranks, as in test-serial; on more in memory, where nobody waits for them.
# The limit is there to end what hangs: beside other lanes, on a busy machine, a lane takes a third
# of it.
test-ranks-%: $(DEV)
	@echo "== $* ranks"
	$(if $(filter-out 2,$*),$(IN_MEMORY)) timeout $(LIMIT) $(MPIEXEC) -n $* $(BIN)/python -m tests \
	  -m "ranks$(if $(filter-out 3,$*), and not few_ranks)" $(COLLECTIVE)

test-ranks-nodes: $(DEV)
	@echo "== 4 ranks on two nodes, as MPICH sees them"
	MPIR_CVAR_NUM_CLIQUES=2 $(IN_MEMORY) timeout $(LIMIT) \
	  $(MPIEXEC) -n 4 $(BIN)/python -m tests -m "ranks and not few_ranks" $(OF_NODES)

test-ranks-25: $(DEV)
	@echo "== 25 ranks: the tutorial, on a recording of 20 images"
	timeout $(LIMIT) $(MPIEXEC) -n 25 $(BIN)/python -m tests -m "ranks and not few_ranks" \
	  tests/documents/test_tutorial.py -k example

# The other platform: the kernels are those of .venv, the tests run from this directory.
$(PHDF5)/.ready: .ci/phdf5 | $(TMP)
	PYTHON=$(PYTHON) .ci/phdf5 $(PHDF5)
	touch $@

test-phdf5: $(DEV) $(PHDF5)/.ready
	set -e; for n in $(RANKS); do \
	  echo "== $$n ranks, Open MPI and parallel HDF5"; \
	  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PYTHONPATH=$(CURDIR) \
	  OMPI_MCA_mpi_yield_when_idle=1 \
	  timeout $(LIMIT) mpiexec.openmpi --oversubscribe -n $$n \
	    $(PHDF5)/bin/python -m tests -m "ranks and not few_ranks" $(OF_MPI); \
	done

# A warning is an error: a broken link, a docstring that cannot be rendered, a missing page.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -E -W --keep-going -n -q docs build/docs
	@echo "build/docs/index.html"

# Runs the notebooks of docs/ and stores what comes out.
tutorial: $(DEV)
	$(BIN)/python -m tests.support.notebook

# Of tests in their own processes, on one rank and on two; jobs that they start are not counted.
# .ci/run runs them nowhere else: so on two ranks the slow ones too, and all with files on disks.
# Of two ranks what ranks may change: of all else one and three know enough.
coverage: $(DEV) $(VENV)/.coverage
	$(BIN)/python -m coverage erase
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target coverage-2 coverage-1 coverage-1-rest
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report | tail -n 1

# The serial ones in two halves, which take as long.
HALF := $(addprefix tests/,api kernels readers registration)

coverage-1: $(DEV)
	$(BIN)/python -m coverage run -m pytest $(HALF) -m "not slow"

coverage-1-rest: $(DEV)
	$(BIN)/python -m coverage run -m pytest tests $(HALF:%=--ignore=%) -m "not slow"

coverage-2: $(DEV)
	timeout $(LIMIT) $(MPIEXEC) -n 2 $(BIN)/python -m coverage run -m tests \
	  -m "ranks and not few_ranks" $(OF_NODES)

# 77 says that there can be no hosts, or no SLURM, here.
BOTH_MPIS = MPIMAGES_TEST_OPENMPI=$(CURDIR)/$(PHDF5)/bin/python timeout --kill-after=30 $(LIMIT)
unless_77 = || { code=$$?; test $$code = 77 || exit $$code; }

test-hosts: $(DEV)
	@code=; .ci/hosts run 1 true $(unless_77); test "$$code" || $(MAKE) --no-print-directory on-hosts

on-hosts: $(PHDF5)/.ready
	$(MAKE) --no-print-directory --jobs=3 --output-sync=target $(ON_HOSTS)

$(ON_HOSTS): on-hosts-%:
	$(BOTH_MPIS) .ci/hosts run 4 $(BIN)/python -m pytest tests/hosts/test_$*.py --durations=3

test-slurm: $(DEV)
	@code=; .ci/slurm install $(unless_77); test "$$code" || $(MAKE) --no-print-directory on-slurm

on-slurm: $(PHDF5)/.ready
	MPIMAGES_TEST_SLURM=1 $(BOTH_MPIS) \
	  .ci/slurm run $(BIN)/python -m pytest tests/commands/test_slurm_jobs.py $(unless_77)

# A wheel for this Python, tried in a venv of its own.
wheel: $(READY)
	rm -rf build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet "$$(ls build/wheel/*.whl)[mpi]"
	.ci/wheel-test build/wheel/venv/bin/python
	@ls build/wheel/*.whl

sanitize: $(DEV)
	PYTHON=$(CURDIR)/$(BIN)/python sh src_c/sanitize.sh

# SEED= for other files than the last time. Then more of what the tests draw at random.
fuzz: $(DEV)
	$(BIN)/python -m tests.faults.fuzz --minutes $(MINUTES) --seed $${SEED:-1}
	MPIMAGES_TEST_THOROUGH=1 $(BIN)/python -m pytest -m drawn $(call marked,drawn) -n 4

faults: $(DEV)
	$(BIN)/python -m tests.faults

# One thread a rank, so that two ranks can show what they add to one.
bench: $(VENV)/.bench
	$(BIN)/python benchmarks/kernels.py --json build/bench-kernels.json
	for n in 1 2; do MPIMAGES_THREADS=1 \
	  $(MPIEXEC) -n $$n $(BIN)/python benchmarks/jobs.py --json build/bench-jobs-$$n.json && \
	  $(MPIEXEC) -n $$n $(BIN)/python benchmarks/methods.py --json build/bench-methods-$$n.json \
	    || exit 1; \
	done
	for n in 1 2; do MPIMAGES_THREADS=1 \
	  $(MPIEXEC) -n $$n $(BIN)/python benchmarks/conversion.py \
	    --json build/bench-conversion-$$n.json && \
	  $(MPIEXEC) -n $$n $(BIN)/python benchmarks/formats.py \
	    --json build/bench-formats-$$n.json || exit 1; \
	done
	$(MAKE) bench-mpio || echo "not measured: HDF5 through mpio, which needs what test-phdf5 needs"
	$(BIN)/python benchmarks/table.py build/bench-jobs-[12].json build/bench-methods-[12].json \
	  build/bench-conversion-*.json build/bench-formats-[12].json

bench-mpio: $(READY) $(PHDF5)/.ready
	OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PYTHONPATH=$(CURDIR) \
	MPIMAGES_THREADS=1 mpiexec.openmpi --oversubscribe -n 2 $(PHDF5)/bin/python \
	  benchmarks/conversion.py --only mpio --json build/bench-conversion-mpio.json

# One thread, as in bench.
bench-motion: $(VENV)/.bench
	MPIMAGES_THREADS=1 $(BIN)/python benchmarks/motion.py

clean:
	rm -rf build demo-output $(VENV) $(PHDF5) *.egg-info mpimages/kernels/*.so
