"""Starts claims: `python -m services.claims`."""

from chassis.service import run
from services.claims.api import routes
from services.claims.handlers import handlers
from services.claims.jobs import jobs

if __name__ == "__main__":
    run("services.claims", handlers, routes, jobs)
