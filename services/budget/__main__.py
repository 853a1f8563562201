"""Starts budget: `python -m services.budget`."""

from chassis.service import run
from services.budget.api import routes
from services.budget.handlers import handlers
from services.budget.jobs import jobs

if __name__ == "__main__":
    run("services.budget", handlers, routes, jobs)
