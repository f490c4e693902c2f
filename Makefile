# `make` lists the tasks. Each does its own set-up, and says what it does when that takes long.
# ARGS goes to the task's program: make test ARGS="-k ledger".

.DEFAULT_GOAL := help
.PHONY: help setup demo server test fuzz simulate chaos check format bench clean
BIN := .venv/bin

help: ## List the tasks
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1: \2/p' Makefile

setup: ## Make the virtual environment (.venv) as uv.lock says
	@sh scripts/setup.sh

demo: setup ## Mail examples/emails.csv into a local mailbox, and show what happened
	@sh scripts/demo.sh $(ARGS)

server: setup ## Run Temporal as in production, on Postgres, with its Web UI, until Ctrl-C (data: var/server)
	@$(BIN)/python -m scripts.server $(ARGS)

test: setup ## Run the tests, on a real Temporal server and real SMTP servers
	@$(BIN)/python -m scripts.tools temporal temporal-server temporal-sql-tool temporal-ui postgres mailpit \
	  versitygw prometheus promtool chromium toxiproxy >/dev/null
	@$(BIN)/pytest -n 4 --dist worksteal $(ARGS)

fuzz: setup ## Try bad lists, messages and answers of relays, 10,000 of each kind
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-10000} $(BIN)/pytest -n 4 --dist worksteal -m fuzz --timeout 3600 $(ARGS)

simulate: setup ## Lead 100,000 batches through every kind of trouble, in virtual time (some minutes)
	@nice -n 5 $(BIN)/python -m tests.simulation $(ARGS)

chaos: setup ## Carry batches through seeded faults: killed, frozen and cut off (40 schedules, over an hour)
	@$(BIN)/python -m scripts.tools temporal temporal-server temporal-sql-tool postgres toxiproxy >/dev/null
	@$(BIN)/python -m tests.chaos $(ARGS)

check: setup ## Check format, lint, import contracts and types: all of them, whatever the first says
	@ok=true; \
	echo "Format …"; $(BIN)/ruff format --check --quiet . || { echo "make format mends it."; ok=false; }; \
	echo "Lint …"; $(BIN)/ruff check --quiet . || ok=false; \
	echo "Import contracts …"; $(BIN)/lint-imports --no-logo || ok=false; \
	echo "Types …"; $(BIN)/mypy || ok=false; \
	$$ok

format: setup ## Format the code, and mend what the linter can mend
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format .

bench: setup ## Measure the speed beside a bare aiosmtplib loop (about ten minutes)
	@$(BIN)/python -m scripts.tools temporal smtp-sink toxiproxy \
	  temporal-server temporal-sql-tool postgres >/dev/null
	@$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove the virtual environment and caches (never var/: it knows who was mailed)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
