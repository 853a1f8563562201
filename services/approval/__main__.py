"""Runs approval: `python -m services.approval`."""

from chassis.service import run
from services.approval.api import routes
from services.approval.handlers import handlers
from services.approval.jobs import jobs

if __name__ == "__main__":
    run("services.approval", handlers, routes, jobs)
