"""What posting asks of a ledger that it does not keep itself, and where such ledgers are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from services.posting.domain import Finding, JournalEntry, Outcome


class Ledger(Protocol):
    """Another ledger. Both methods answer within a bound and raise nothing for what it does."""

    async def post(self, entry: JournalEntry) -> Outcome:
        """Hand over an entry under its key; whatever is not clearly judged is Unknown."""
        ...

    async def find(self, key: str) -> Finding:
        """What the ledger has under a key; Absent only if the ledger itself says so."""
        ...


class LedgerSettings(BaseSettings):
    """Addresses and patience, from LEDGERBUS_LEDGERS and its neighbours."""

    model_config = SettingsConfigDict(env_prefix="LEDGERBUS_", extra="ignore")

    ledgers: dict[str, str] = Field(default_factory=dict, description="name to address, as JSON")
    ledger_timeout_s: int = Field(default=10, ge=1, description="for one call, from end to end")
    ledger_settle_s: int = Field(
        default=30, ge=0, description="until a call without an answer must have taken effect"
    )
