"""Starts reconcile: `python -m services.reconcile`."""

from chassis.service import run
from services.reconcile.api import routes
from services.reconcile.handlers import handlers
from services.reconcile.jobs import jobs

if __name__ == "__main__":
    run("services.reconcile", handlers, routes, jobs)
