# The only door. A recipe is one line; anything longer is a script in tools/.
.DEFAULT_GOAL := help
.PHONY: help setup demo test quick client lint fix compat matrix newest bench soak faults brokers conformance fuzz docs dist lock
PYTHON ?= python3
PROJECT := pyproject.toml tools/setup.sh requirements/build.txt

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.dev ## everything for development, in .venv

demo: .venv/.demo ## the chat, the notifications and the dashboard, at one address
	@tools/demo.sh

test: .venv/.dev ## every test, after all set-up
	@tools/test.sh $(ARGS)

quick: .venv/.dev ## unit and contract tests, no services
	@tools/quick.sh $(ARGS)

client: .venv/.dev ## build and test the browser client
	@tools/client.sh

lint: .venv/.dev ## formatting, rules, types, imports, sizes
	@tools/lint.sh

fix: .venv/.dev ## format, and mend what is safe to mend
	@tools/fix.sh

compat: .venv/.dev ## the same cases against upstream and against us
	@tools/compat.sh $(ARGS)

matrix: .venv/.dev ## the quick tests on each Python and Django
	@.venv/bin/python tools/matrix.py $(ARGS)

newest: .venv/.dev ## the tests with servers of their own, on the newest Python
	@tools/redis.sh && .venv/bin/python tools/newest.py $(ARGS)

bench: .venv/.dev ## Seaway beside Django Channels and others, in eight workloads
	@tools/bench.sh $(ARGS)

soak: .venv/.dev ## many connections, and nothing left of them
	@tools/soak.sh $(ARGS)

faults: .venv/.dev ## real faults of real servers and networks, and what they lose
	@tools/faults.sh $(ARGS)

brokers: .venv/.dev ## the Redis tests with each redis-py, and on Valkey
	@.venv/bin/python tools/brokers.py

conformance: .venv/.dev ## the Autobahn WebSocket test suite against our server
	@tools/conformance.sh $(ARGS)

fuzz: .venv/.dev ## feed the parsers anything, for TIME seconds each
	@tools/fuzz.sh $(TIME)

docs: .venv/.dev ## the documentation, and its examples as tests
	@tools/docs.sh

dist: .venv/.dev ## build the wheel, and run the demo from it alone
	@.venv/bin/python tools/dist.py

lock: .venv/.dev ## compile the pinned requirements again
	@tools/lock.sh $(ARGS)

.venv/.demo: requirements/demo.txt $(PROJECT)
	@PYTHON=$(PYTHON) tools/setup.sh demo

.venv/.dev: requirements/dev.txt requirements/uv.txt $(PROJECT)
	@PYTHON=$(PYTHON) tools/setup.sh dev
