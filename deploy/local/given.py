"""Servers given from outside: somebody else runs them, we only use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.local.state import ServerState


class Given:
    """One server that is there already."""

    def __init__(self, address: str) -> None:
        """Remember the address, which must hold no password."""
        self.address = address

    async def start(self, state: ServerState) -> None:
        """Note where the server is; nothing is started."""
        state.source = "given"
        state.address = self.address

    def stop(self, state: ServerState) -> bool:
        """Forget the server; nothing is stopped."""
        state.address = ""
        return True
