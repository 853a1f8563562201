"""Runs posting: `python -m services.posting`."""

from chassis.service import run
from services.posting.api import routes
from services.posting.handlers import handlers
from services.posting.jobs import jobs

if __name__ == "__main__":
    run("services.posting", handlers, routes, jobs)
