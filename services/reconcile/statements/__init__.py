"""Statements: tolerant readers of what banks send, from bytes to statements or to what is wrong."""

from __future__ import annotations

from services.reconcile.statements.camt053 import read_camt
from services.reconcile.statements.csv_layouts import layout_names, layout_of, read_csv
from services.reconcile.statements.parts import Fault, Unreadable, account_of

__all__ = [
    "Fault",
    "Unreadable",
    "account_of",
    "layout_names",
    "layout_of",
    "read_camt",
    "read_csv",
]
