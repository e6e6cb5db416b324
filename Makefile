# make dev: try livepromo on embedded parts.   make test: every check and test.   On a fresh machine each does all its own set-up.
.DELETE_ON_ERROR:
PYTHON ?= python3
UV := $(or $(shell command -v uv),.tools/bin/uv)
RUN := .venv/bin/

setup: .venv/ready

dev: setup
	$(RUN)livepromo dev $(ARGS)

test: check prometheus helm
	$(RUN)pytest -n 2 --dist loadgroup $(PYTEST)

check: setup java redis
	$(RUN)ruff format --check .
	$(RUN)ruff check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)deptry .
	$(RUN)vulture

chaos: setup java redis
	$(RUN)pytest -m chaos --timeout 1800 $(PYTEST)

nightly: setup java redis
	$(RUN)pytest -m nightly --timeout 7200 $(PYTEST)

bench: setup java redis
	$(RUN)python -m benchmarks.throughput $(ARGS)
	$(RUN)python -m benchmarks.latency
	$(RUN)python -m benchmarks.rebuild
	$(RUN)python -m benchmarks.users
	$(RUN)python -m benchmarks.core
	$(RUN)python -m benchmarks.absence
	$(RUN)python -m benchmarks.audiences
	$(RUN)python -m benchmarks.relay
	$(RUN)python -m benchmarks.webhooks

# Everything that is installed is in requirements.lock: exact versions and hashes for every platform, no addresses.
.venv/ready: requirements.lock pyproject.toml | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "livepromo needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x .venv/bin/python || $(UV) venv -q --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@echo "installing what requirements.lock names"
	@$(UV) pip sync -q --python .venv --require-hashes requirements.lock
	@$(UV) pip install -q --python .venv --no-deps --no-build-isolation -e .
	@touch $@

# uv: the one on PATH, else a private one. --target needs no venv module and is allowed on "externally managed" Pythons; venv needs no pip.
.tools/bin/uv:
	@echo "fetching uv into .tools"
	@$(PYTHON) -m pip install -q --disable-pip-version-check --target .tools uv 2>/dev/null \
	  || { rm -rf .tools && $(PYTHON) -m venv .tools >/dev/null 2>&1 && .tools/bin/pip install -q --disable-pip-version-check uv; } \
	  || { rm -rf .tools; echo "neither pip nor venv works in $(PYTHON): apt-get install python3-venv, or install uv"; exit 1; }

lock: | $(UV)
	$(UV) pip compile -q pyproject.toml --extra dev --group dev --universal --python-version 3.11 --generate-hashes --no-emit-package livepromo \
	  --custom-compile-command "make lock" $(LOCK) -o requirements.lock
	$(UV) pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-package livepromo -c requirements.lock \
	  --no-annotate --custom-compile-command "make lock" -o deploy/requirements.lock
	echo hatchling | $(UV) pip compile -q - --universal --python-version 3.11 --generate-hashes -c requirements.lock \
	  --no-annotate --custom-compile-command "make lock" -o deploy/build.lock

java:
	@command -v java >/dev/null && command -v mvn >/dev/null || { echo "the tests start Apache Kafka: install Java 17 or newer and Maven (apt-get install default-jre-headless maven)"; exit 1; }

redis:
	@command -v redis-server >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server; } \
	  || { echo "the tests start Redis 7: install redis-server"; exit 1; }

prometheus:
	@command -v promtool >/dev/null && command -v prometheus >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq \
	  && apt-get install -y -qq --no-install-recommends prometheus; } || { echo "the tests start Prometheus and promtool: install prometheus"; exit 1; }

# helm is built once for a version, three to five minutes, and kept outside the checkout.
HELM_VERSION := v4.3.1
HELM := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/livepromo/helm-$(HELM_VERSION)/helm
helm: $(HELM)
$(HELM):
	@command -v go >/dev/null || { echo "the tests render the chart with helm, which Go builds: install Go 1.26 or newer, or put helm at $(HELM)"; exit 1; }
	@echo "building helm $(HELM_VERSION): some minutes, once"
	@mkdir -p $(@D) && GOBIN=$(@D) go install helm.sh/helm/v4/cmd/helm@$(HELM_VERSION)

dashboards: setup
	$(RUN)python deploy/grafana/dashboards.py

.PHONY: setup dev test check chaos nightly bench lock java redis prometheus helm dashboards
