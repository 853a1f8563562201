"""What tests of other ledgers share: working off intents against a ledger's server."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import httpx

from services.posting.erp.http_journal import HttpJournal
from services.posting.erp.port import LedgerSettings
from services.posting.jobs import carry_out
from tests.support import said
from tests.support.ledger_server import Do, LedgerServer
from tests.support.posting_values import a_claim, a_line, reserved, tell

if TYPE_CHECKING:
    from chassis.db import Database
    from contracts.claims import ClaimSubmitted

TIMEOUT_S: Final = 0.3  # Of a test; whatever hangs is given up after it.
LOST: Final = [
    Do.FAIL_BEFORE,
    Do.HANG_BEFORE,
    Do.DROP_BEFORE,
    Do.FORBID,
    Do.THROTTLE,
    Do.PROXY_404,
]
EXECUTED: Final = [
    Do.FAIL_AFTER,
    Do.HANG_AFTER,
    Do.DROP_AFTER,
    Do.GARBAGE_AFTER,
    Do.NUMBERLESS_AFTER,
    Do.OTHER_KEY_AFTER,
    Do.DRIP_AFTER,
]


async def make_due(database: Database) -> None:
    """Let every waiting intent be taken now."""
    async with database.transaction() as tx:
        await tx.execute("UPDATE intents SET due_at = now() - interval '1 second'")


async def work(database: Database, ledger: LedgerServer) -> None:
    """Make everything due and carry it out once."""
    await make_due(database)
    settings = LedgerSettings(ledgers={"sap": ledger.address}, ledger_settle_s=0)
    async with httpx.AsyncClient() as client:
        port = HttpJournal(client, name="sap", address=ledger.address, timeout_s=TIMEOUT_S)
        await carry_out(database, {"sap": port}, settings)


async def states(database: Database, claim: ClaimSubmitted | None = None) -> dict[str, int]:
    """How many intents are in each state, of all claims or of one."""
    async with database.reader() as reader:
        rows = await reader.fetch(
            "SELECT state FROM intents WHERE $1::uuid IS NULL OR claim_id = $1",
            claim.claim_id if claim else None,
        )
    return dict(Counter(row["state"] for row in rows))


async def an_intent(database: Database) -> ClaimSubmitted:
    """A reserved claim of 106.00 CNY that is intended for another ledger."""
    claim = a_claim(a_line(1, 10000, 600, project="P-1"))
    await tell(database, claim, reserved(claim))
    assert await said(database) == []
    assert await states(database) == {"intended": 1}
    return claim
