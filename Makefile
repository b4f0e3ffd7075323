# The daily commands; `make` lists them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
export PYTHONWARNINGS := ignore

PYTHON := .venv/bin/python
# What takes containers away or enters them needs no environment.
PLAIN := python3
TIERS := inventory lint compile unit functional integration
tests = $(wildcard $(1:%=tests/%))
# Two lanes, see tests/lanes.py.
LANES := -n 2

.PHONY: help fleet test drills check rebuild down stop shell world salt docs diff lock

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | while IFS=@ read -r command text; do printf '%-12s %s\n' "$$command" "$$text"; done

fleet: ## boot the fleet and converge it; HOSTS="ct1 web02" for a part
	@lab/setup fleet
	@$(PYTHON) -m lab up --hosts="$(HOSTS)"

rebuild: ## lose a server, and bring it back from a bare droplet and its backups; HOST=web02
	@lab/setup fleet
	@$(PYTHON) -m lab rebuild "$(HOST)"

check: ## every test that needs no containers
	@lab/setup check
	@$(PYTHON) -m pytest $(LANES) $(call tests,$(TIERS))

test: ## every test, the fleet's last
	@lab/setup fleet
	@$(PYTHON) -m pytest $(LANES) $(call tests,$(TIERS) fleet)

drills: ## the drills at full size, which takes some hours; their figures go to docs/*drills.md
	@lab/setup fleet
	@$(PYTHON) -m pytest --full-size tests/fleet/*_drills.py

shell: ## a root shell on a server; HOST=web02
	@$(PLAIN) -m lab shell "$(HOST)"

salt: ## run salt on ct1; ARGS="'web*' test.ping"
	@$(PLAIN) -m lab salt $(ARGS)

world: ## a shell in the internet, outside the fleet
	@$(PLAIN) -m lab shell world

stop: ## remove containers and networks, keep images and caches
	@$(PLAIN) -m lab stop

down: ## remove all that the lab made on this machine
	@$(PLAIN) -m lab down
	@rm -rf .venv

docs: ## write the generated pages anew
	@lab/setup check
	@$(PYTHON) _utils/insync_fleet_page.py write

diff: ## what the states of every server would be, against a revision; REV=main
	@lab/setup check
	@$(PYTHON) -m lab.diff "$(REV)"

lock: ## pin the newest requirements that fit together
	@lab/setup check
	@lab/lock-requirements
