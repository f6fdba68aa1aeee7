# Every target sets up what it needs: Python packages in .venv, Apache Kafka in .kafka.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KAFKA := .kafka
ARGS ?=
# Several processes at once, or models beside something else: threads of the linear algebra would only wait for each other.
export OPENBLAS_NUM_THREADS ?= 1
# Container images often forbid bytecode, to stay small: then every process compiles our sources again.
unexport PYTHONDONTWRITEBYTECODE
DATA ?= ../shared/data

.PHONY: install demo run test check bench evaluate kafka kafka-jars kafka-if-possible lock

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) -V): Tracewarden needs Python 3.11 or newer; name one with make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "the venv module of $(PYTHON) was not found: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV) (6 GB, a few minutes on a first run) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

run: install
	$(BIN)/tracewarden serve --data-dir data $(ARGS)

demo: install
	@$(BIN)/python -m demo $(ARGS)

test: install kafka-if-possible
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python -m benchmarks $(ARGS)

evaluate: install
	$(BIN)/python -m benchmarks.evaluation --data $(DATA) $(ARGS)

kafka: install kafka-jars
	@exec $(BIN)/python -m tests.kafka --port 9092 --data-dir $(KAFKA)/data $(ARGS)

kafka-jars: $(KAFKA)/.installed

# Without Java or Maven the tests still run, on a mock cluster, and their header says so.
kafka-if-possible:
	@$(MAKE) --no-print-directory -s kafka-jars 2>/dev/null || echo "without it the tests use what the line 'kafka:' at their start says"

$(KAFKA)/.installed: tests/kafka/pom.xml
	@for tool in java mvn; do command -v $$tool >/dev/null || { echo "$$tool was not found: Apache Kafka needs Java 17 or newer and Maven (Debian: apt-get install default-jre-headless maven)"; exit 1; }; done
	@echo "fetching Apache Kafka into $(KAFKA) (43 MB) …"
	@rm -rf $(KAFKA)/libs.new
	@mvn -q -B -f $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(CURDIR)/$(KAFKA)/libs.new
	@rm -rf $(KAFKA)/libs && mv $(KAFKA)/libs.new $(KAFKA)/libs
	@touch $@

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --extra dev --extra models pyproject.toml -o requirements.lock
