# make lab     open JupyterLab on the first notebook     (ARGS="--no-browser --port=8899" for a server)
# make test    run all but the long tests, in two processes (WORKERS=…) (needs Chromium; installs Debian's when run as root)
# make long    run what make test leaves out: trainings, figures and lessons that shorter tests stand for
# make fast    run what fits in a minute, and list the ten slowest tests
# make watch   run again what a change touches, at every change (the first time, all that make fast runs)
# make gallery a page for each view, for any browser      (in gallery/)
# make lessons run every lesson as it is shipped, by nbmake (make test does so too, in tests/notebooks, and solves it)
# make screens a picture of every screen of every lesson in JupyterLab, to be looked at (ARGS="03 09 --language fr --dark")
# make guards  leave out each guard against bad files: does a test notice?
# make attack  a minute of made-up files, traces, texts and messages of each kind: what comes of them? (ARGS="--seed 7")
# make claims  turn every sentence about the model around: does its test notice? (make claims-page: write the page)
# make twins   train the five models that differ in their positions anew, and measure them against their floors
# make starts  the same in little, from three starts: how much is chance? (ARGS="alibi --seed 7": one, in some minutes)
# make sizes   train the three sizes of lesson 13, on many texts and on few, and hold them to their floors (ARGS="--seed 7")
# make page    the live page and the site, thoroughly: 2,000 messages through page and Python, four lessons, every cover
# make types   check the types that the JSDoc of widgets/ states, with TypeScript's compiler (needs npx)
# make packages  build wheel and sdist, try the wheel in an empty environment (PYTHONS="python3.12 …"), licences, SBOM
# make bench   measure bloomlab against transformers
# make peers   measure the attention view against BertViz and CircuitsVis
# make hosts   run the views in marimo, voila, papermill, nbconvert, jupyter-book, nbgrader, Firefox … and print a table
# Each sets up .venv first. PIP_ARGS="--extra-index-url …" adds a package index; PYTHON=… picks the Python.

PYTHON ?= python3
WORKERS ?= 2
PY := .venv/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help lab test long fast watch gallery lessons screens guards attack claims claims-page twins starts sizes page types packages bench peers hosts format chromium

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

lab: .venv/.lab
	PYTHONSTARTUP="$${PYTHONSTARTUP:-$(CURDIR)/bloomlab/notebook/startup.py}" \
	  $(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/00_welcome.ipynb $(ROOT) $(ARGS)

test: .venv/.dev .venv-v4/.ready .venv-oldest/.ready chromium
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest --numprocesses=$(WORKERS) --dist=loadfile --durations=10 --nbmake --nbmake-kernel=python3 --nbmake-timeout=120 -m "not long" bloomlab tests notebooks/00_welcome.ipynb $(ARGS)

long: .venv/.dev chromium
	$(PY) -m pytest --numprocesses=$(WORKERS) --dist=loadfile --durations=10 -m long tests $(ARGS)

fast: .venv/.dev
	$(PY) -m ruff check .
	$(PY) -m pytest -m "not slow and not browser" --durations=10 $(ARGS)

watch: .venv/.dev
	TESTMON_DATAFILE=.venv/testmondata $(PY) -m watchfiles --filter python \
	  '$(PY) -m pytest -q --testmon --testmon-forceselect -m "not slow and not browser" $(ARGS)' bloomlab tests docs

gallery: .venv/.lab
	$(PY) docs/make_gallery.py $(ARGS)

lessons: .venv/.dev
	$(PY) -m pytest -p no:xdist --nbmake --nbmake-kernel=python3 --nbmake-timeout=120 notebooks $(ARGS)

screens: .venv/.dev chromium
	$(PY) -m tests.browser.lesson_screens $(ARGS)

guards: .venv/.dev
	$(PY) -m tests.hostile.guards $(ARGS)

attack: .venv/.dev
	$(PY) -m tests.hostile.attack $(ARGS)

claims: .venv/.dev
	$(PY) -m tests.claims $(ARGS)

claims-page: .venv/.dev
	$(PY) -m tests.claims.page

sizes: .venv/.dev
	$(PY) -m bloomlab.tiny.sizes $(ARGS)

twins: .venv/.dev
	$(PY) -m bloomlab.tiny.positions $(ARGS)
	$(PY) -m bloomlab.tiny.measure_positions my-positions

starts: .venv/.dev
	$(PY) -m bloomlab.tiny.positions --short $(ARGS)
	$(PY) -m bloomlab.tiny.measure_positions my-short --short

page: .venv/.dev
	PAGE_WALK=2000 SITE_LESSONS=00_welcome,03_attention,04_alibi,09_interventions $(PY) -m pytest -p no:xdist -s \
	    tests/browser/test_page_contract.py tests/browser/test_page_model.py tests/browser/test_site.py

types:
	npx --yes --package typescript@5.9.3 tsc -p tests/browser

packages: .venv/.dev
	PIP_ARGS="$(PIP_ARGS)" $(PY) -m tests.supply $(PYTHONS)

bench: .venv/.dev
	$(PY) -m tests.benchmarks $(ARGS)
	$(PY) -m tests.benchmarks.parts
	$(PY) -m bloomlab.tiny.evaluate
	$(PY) -m bloomlab.tiny.measure_positions
	$(PY) -m tests.benchmarks.jax_twin
	$(PY) -m tests.benchmarks.page

peers: .venv-peers/.ready
	.venv-peers/bin/python -m tests.benchmarks.peers $(ARGS)

hosts: .venv-hosts/.ready chromium
	.venv-hosts/bin/python -m tests.hosts $(ARGS)

format: .venv/.dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .
	$(PY) -m nbstripout notebooks/*.ipynb
	$(PY) docs/make_api.py
	$(PY) -m docs.make_architecture

# Set-up. Each step leaves a stamp when it is complete, so that an interrupted one is done again.

.venv/.pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "bloomlab needs Python 3.11 or newer, and '$(PYTHON)' is not; name one with PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade "pip>=25.1" $(PIP_ARGS)
	@touch $@

.venv/.lab: .venv/.pip pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e . $(PIP_ARGS)
	@touch $@

.venv/.dev: .venv/.lab
	$(PIP) -c constraints.txt -e . --group dev $(PIP_ARGS)
	@touch $@

# Environments of their own that borrow all else, torch above all, from .venv: the last transformers 4, the oldest
# huggingface_hub that is allowed, the viewers of attention that ours is compared with, and other hosts of notebooks.
SITE := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

.venv-v4/.ready: tests/parity/v4/requirements.txt
.venv-oldest/.ready: tests/oldest/requirements.txt
.venv-peers/.ready: tests/benchmarks/peers.txt
.venv-hosts/.ready: tests/hosts/requirements.txt
.venv-v4/.ready .venv-oldest/.ready .venv-peers/.ready .venv-hosts/.ready: .venv/.dev
	$(PY) -m venv --clear --without-pip $(@D)
	$(PY) -m pip --python $(@D)/bin/python install --disable-pip-version-check --no-deps -r $(filter %.txt,$^) $(PIP_ARGS)
	$(PY) $(SITE) > "$$($(@D)/bin/python $(SITE))/borrowed.pth"
	@touch $@

# Any Chromium will do; where Debian's shell of it can be had it is, for it is quicker.
chromium: .venv/.dev
	@command -v chromium-headless-shell >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	  { apt-get -q update && apt-get -q install -y --no-install-recommends chromium-headless-shell fonts-dejavu-core fonts-noto-core; } || true
	@$(PY) -m tests.browser.chromium
