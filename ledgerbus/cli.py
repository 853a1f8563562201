"""`ledgerbus`: one table of commands, one way to end badly."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

import typer
from rich.console import Console

from deploy.local.errors import StackError
from deploy.topics import PlanError
from ledgerbus import (
    chaos,
    claim,
    derive,
    dlq,
    imports,
    load,
    prove,
    publish,
    stack,
    statements,
    tail,
    trace,
)
from ledgerbus.demo import commands as demo
from ledgerbus.errors import CommandError, Exit
from ledgerbus.program import pasteable

app = typer.Typer(
    help="Expense claims on their way into the books: run the system, use it, prove it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # What goes wrong is explained below, or is a defect.
)

# Every command: a function registers under its own name, a typer.Typer as a group of commands.
app.command()(stack.up)
app.command()(stack.roll)
app.command()(stack.down)
app.command()(stack.status)
app.add_typer(imports.app, name="import")
imports.app.command("statement")(statements.command)
app.add_typer(load.app, name="load")
app.add_typer(derive.app, name="derive")
app.command()(publish.publish)
app.command()(tail.tail)
app.command("prove")(prove.command)
app.add_typer(claim.app, name="claim")
app.add_typer(dlq.app, name="dlq")
app.add_typer(dlq.parked_app, name="parked")
app.command("trace")(trace.command)
app.add_typer(demo.app, name="demo")
app.command()(chaos.chaos)


def main() -> NoReturn:
    """Run a command; its failures end with a message on stderr and a code scripts may rely on."""
    # The client library reports every attempt of ours to reach a server; we report the outcome.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        app()
    except CommandError as failure:
        _end("\n".join(failure.lines()), failure.code)
    except StackError as failure:
        _end(str(failure), Exit.FAILED)
    except PlanError as failure:
        _end(str(failure), Exit.INVALID)
    sys.exit(Exit.OK)


def _end(message: str, code: Exit) -> NoReturn:
    # What it says to type is not broken into lines of the terminal, so that it can be pasted.
    screen = Console(stderr=True)
    screen.print(pasteable(message), style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)
