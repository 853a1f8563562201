"""Runs approval: `python -m services.approval`."""

from chassis.jobs import Jobs
from chassis.service import run
from services.approval.api import routes
from services.approval.handlers import handlers

if __name__ == "__main__":
    run("services.approval", handlers, routes, Jobs())
