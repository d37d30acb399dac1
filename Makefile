# make demo   the main job on a digital phantom: DICOM in, demo/review.json and demo/review.html out,
#             and demo/workstation.png, a picture of the workstation's window with that study
# make workstation   the window itself, on the demo study
# make test   all tests
# make lint   ruff and mypy
# make fuzz   mutants of every kind of input, 1,200 by default; SEED=N draws others, failing ones lie in runs/fuzz
# make bench  speed, as ratios taken in one run
# make bundle train the demo bundle anew (about four hours on two cores)
# make ladder the pre-training ladder on phantoms (about 40 minutes on two cores), with its ablations (30 more)
#
# Everything is installed into .venv at the first call. PYTHON chooses the interpreter (3.11 to 3.13);
# JOBS the number of test processes; TORCH_INDEX=URL adds a package index, for instance PyTorch's with CPU builds.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TORCH_INDEX ?=
JOBS ?= auto
MUTANTS ?= 1200
SEED ?= 1
export PYTHONUNBUFFERED := 1

.PHONY: demo workstation test lint fuzz bench bundle ladder ladder-texts clean setup
.NOTPARALLEL:

setup: $(READY)

$(READY): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "RenalCLIP needs Python 3.11, 3.12 or 3.13; set one with: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq python3-venv; \
	  else echo "Python's venv module is missing; install it with: sudo apt-get install python3-venv" >&2; exit 2; fi; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
	  -c constraints.txt -e '.[dev]'
	@# a torchvision made for another torch breaks imports of other packages; nothing here needs it
	@$(BIN)/python -c 'import torchvision' >/dev/null 2>&1 || $(BIN)/python -m pip uninstall -qy torchvision
	@missing="$$($(BIN)/python -m RenalCLIPDesktop.requirements --for-tests)" || exit 1; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $$missing; } \
	      || echo "Could not install $$missing; the workstation's window and its tests need them." >&2; \
	  else echo "The workstation's window and its tests need: sudo apt-get install $$missing" >&2; fi; fi
	@touch $@

demo: $(READY)
	test -d demo/dicom || $(BIN)/renalclip phantom study --seed 2026 --out demo/dicom --truth demo/truth.json
	$(BIN)/renalclip review demo/dicom --out demo
	@# without the system libraries of the window (exit code 2, with a message) the rest of the demo still stands
	$(BIN)/renalclip workstation demo/study --screenshot demo/workstation.png || test $$? = 2

workstation: $(READY)
	test -d demo/dicom || $(BIN)/renalclip phantom study --seed 2026 --out demo/dicom --truth demo/truth.json
	$(BIN)/renalclip workstation $$(test -f demo/study/study.json && echo demo/study || echo demo/dicom)

test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(READY)
	$(BIN)/python -m Testing.Fuzz.run --mutants $(MUTANTS) --seed $(SEED)

bench: $(READY)
	$(BIN)/python -m Testing.Benchmarks.run

# Each step stands in a folder below runs/ and is skipped where that is there; delete the folder to repeat it.
LEARN := --cohort runs/learn/split.csv --rois runs/learn.rois
TUNE := --iterations 50 --validation-iterations 2 --optimizer adamw --zoom-out 2 --low-precision --half-weights --threads 1
bundle: $(READY)
	test -d runs/segment/cases || $(BIN)/renalclip segment phantoms --out runs/segment/cases
	test -d runs/segment/model || $(BIN)/renalclip segment train --cohort runs/segment/cases --out runs/segment/model \
	  --spacing 2 2 3 --patch 64 64 48 --base-features 16 --epochs 24 $(TUNE) --learning-rate 0.002 --seed 7
	test -d runs/segment/model2 || $(BIN)/renalclip segment train --cohort runs/segment/cases --out runs/segment/model2 \
	  --from runs/segment/model --epochs 40 $(TUNE) --learning-rate 0.002 --foreground 0.8 --seed 8
	test -d runs/segment/model3 || $(BIN)/renalclip segment train --cohort runs/segment/cases --out runs/segment/model3 \
	  --from runs/segment/model2 --epochs 50 $(TUNE) --learning-rate 0.002 --foreground 0.66 --augmentation light --seed 9
	test -d runs/segment/cases3 || $(BIN)/renalclip segment phantoms --out runs/segment/cases3 --patients 200 --seed 303
	test -d runs/segment/model6 || $(BIN)/renalclip segment train --cohort runs/segment/cases3 --out runs/segment/model6 \
	  --from runs/segment/model3 --epochs 150 $(TUNE) --learning-rate 0.002 --foreground 0.75 --augmentation light --seed 12
	test -d runs/segment/cases4 || { $(BIN)/renalclip segment phantoms --out runs/segment/cases4 && \
	  $(BIN)/renalclip segment phantoms --out runs/segment/cases4 --patients 70 --seed 202; }
	test -d runs/segment/model7 || $(BIN)/renalclip segment train --cohort runs/segment/cases4 --out runs/segment/model7 \
	  --from runs/segment/model6 --epochs 70 $(TUNE) --learning-rate 0.0015 --foreground 0.75 --augmentation light --seed 13
	test -d runs/learn || $(BIN)/renalclip phantom cohort --patients 900 --seed 1 --in-plane-mm 1.25 --lesion-only --out runs/learn
	test -f runs/learn/split.csv || $(BIN)/renalclip cohort split --cohort runs/learn/cohort.csv --out runs/learn/split.csv \
	  --fractions 0.85 0.15 0 --seed 1
	$(BIN)/renalclip cohort rois --cohort runs/learn/split.csv --out runs/learn.rois
	test -d runs/geometry || $(BIN)/renalclip train multitask --preset phantom-demo-geometry $(LEARN) --out runs/geometry
	test -d runs/demo || $(BIN)/renalclip train multitask --preset phantom-demo --initial runs/geometry $(LEARN) --out runs/demo
	$(BIN)/renalclip bundle export --run runs/demo $(LEARN) --out runs/demo.bundle --overwrite --name phantom-demo --version 1.0 \
	  --phantom --training-data "Digital renal phantoms (renalclip phantom cohort, internal site, seed 1), four phases."
	@# the image-text space: reports and text features of the ladder, regions of the paper's size
	test -d runs/demo-clip || { $(MAKE) ladder-texts && \
	  $(BIN)/renalclip cohort rois $(TABLE) --out $(LADDER)/learn-paper.rois --processes $(LADDER_PROCESSES) && \
	  $(BIN)/renalclip train clip --preset phantom-demo-clip --initial runs/demo.bundle $(ALIGNED) --out runs/demo-clip; }
	$(BIN)/renalclip bundle export --run runs/demo-clip --heads runs/demo.bundle $(ALIGNED) \
	  --text-encoder $(LADDER)/simcse/encoder --out runs/demo-aligned.bundle --overwrite --name phantom-demo --version 1.1 \
	  --phantom --training-data "Digital renal phantoms (renalclip phantom cohort, internal site, seed 21), mixed phases."
	$(BIN)/renalclip bundle assemble --bundle runs/demo-aligned.bundle --segmentation runs/segment/model7 \
	  --out Resources/bundles/phantom-demo --overwrite

# Every command goes on where it was broken off, and leaves finished work as it is.
LADDER := runs/ladder
LADDER_PATIENTS := 480
LADDER_HELD_OUT := 200
LADDER_PROCESSES := 2
PHANTOMS = $(BIN)/renalclip phantom cohort --phases mixed --in-plane-mm 1.25 --lesion-only --processes $(LADDER_PROCESSES)
ROIS = $(BIN)/renalclip cohort rois --input-mm 96 96 120 --processes $(LADDER_PROCESSES)
TABLE := --cohort $(LADDER)/split.csv
TRAINED := $(TABLE) --rois $(LADDER)/learn.rois
ALIGNED = $(TABLE) --rois $(LADDER)/learn-paper.rois --texts $(LADDER)/texts-simcse-learn
HELD_OUT := --cohort $(LADDER)/internal/cohort.csv $(LADDER)/external/cohort.csv --rois $(LADDER)/internal.rois $(LADDER)/external.rois
LADDER_TEXTS = $(foreach part,learn internal external,$(BIN)/renalclip train text-features --encoder $(LADDER)/$(1)/encoder \
	  --cohort $(if $(filter learn,$(part)),$(LADDER)/split.csv,$(LADDER)/$(part)/cohort.csv) --out $(LADDER)/texts-$(1)-$(part) &&) true
# $(1) name of the clip run, $(2) its preset, $(3) its text encoder's run, $(4) further arguments
define ladder_clip
	$(BIN)/renalclip train clip --resume --preset $(2) $(TRAINED) --texts $(LADDER)/texts-$(3)-learn --out $(LADDER)/$(1) $(4)
	$(if $(filter clip,$(1)),$(BIN)/renalclip train multitask --resume --preset phantom-heads --initial $(LADDER)/clip $(TRAINED) --out $(LADDER)/heads)
	$(BIN)/renalclip bundle export --run $(LADDER)/$(1) $(TRAINED) --texts $(LADDER)/texts-$(3)-learn \
	  --text-encoder $(LADDER)/$(3)/encoder $(if $(filter clip,$(1)),--heads $(LADDER)/heads) --out $(LADDER)/$(1).bundle \
	  --overwrite --name phantom-$(1) --version 1.0 --phantom --training-data "Digital renal phantoms, internal site, seed 21."
	$(BIN)/renalclip evaluate alignment --bundle $(LADDER)/$(1).bundle $(HELD_OUT) \
	  --texts $(LADDER)/texts-$(3)-internal $(LADDER)/texts-$(3)-external --out $(LADDER)/scores-$(1)
endef
ladder-texts: $(READY)
	$(PHANTOMS) --patients $(LADDER_PATIENTS) --seed 21 --out $(LADDER)/learn
	$(PHANTOMS) --patients $(LADDER_HELD_OUT) --seed 2101 --split test --out $(LADDER)/internal
	$(PHANTOMS) --patients $(LADDER_HELD_OUT) --seed 2102 --split test --centre external --out $(LADDER)/external
	$(BIN)/renalclip cohort split --cohort $(LADDER)/learn/cohort.csv --out $(LADDER)/split.csv --fractions 0.8333 0.1667 0 --seed 21
	$(BIN)/renalclip train mntp --resume --preset phantom-mntp $(TABLE) --out $(LADDER)/mntp
	$(BIN)/renalclip train simcse --resume --preset phantom-simcse $(TABLE) --base $(LADDER)/mntp/encoder --out $(LADDER)/simcse
	$(call LADDER_TEXTS,simcse)

ladder: ladder-texts
	$(ROIS) --cohort $(LADDER)/split.csv --out $(LADDER)/learn.rois
	$(ROIS) --cohort $(LADDER)/internal/cohort.csv --out $(LADDER)/internal.rois
	$(ROIS) --cohort $(LADDER)/external/cohort.csv --out $(LADDER)/external.rois
	$(BIN)/renalclip train image --resume --preset phantom-image $(TRAINED) --out $(LADDER)/image
	$(BIN)/renalclip train simcse --resume --preset phantom-simcse-wording $(TABLE) --base $(LADDER)/mntp/encoder --out $(LADDER)/wording
	$(BIN)/renalclip train mntp --resume --preset phantom-mntp-bert $(TABLE) --out $(LADDER)/bert
	$(call LADDER_TEXTS,wording)
	$(call LADDER_TEXTS,bert)
	$(call ladder_clip,clip,phantom-clip,simcse,--initial $(LADDER)/image)
	$(call ladder_clip,clip-random-image,phantom-clip-random,simcse,)
	$(call ladder_clip,clip-wording,phantom-clip,wording,--initial $(LADDER)/image)
	$(call ladder_clip,clip-bert,phantom-clip,bert,--initial $(LADDER)/image)
	$(call ladder_clip,clip-neither,phantom-clip-random,bert,)
	$(BIN)/renalclip evaluate probe --bundle $(LADDER)/clip.bundle --training $(LADDER)/split.csv --training-rois $(LADDER)/learn.rois \
	  $(HELD_OUT) --out $(LADDER)/probe
	$(BIN)/renalclip evaluate bundle --bundle $(LADDER)/clip.bundle $(HELD_OUT) --out $(LADDER)/scores-heads --overwrite

clean:
	rm -rf $(VENV) demo build *.egg-info
