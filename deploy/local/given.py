"""Servers given from outside: somebody else runs them, we only use them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.local import ports

if TYPE_CHECKING:
    from deploy.local.state import ServerState


def use_given(state: ServerState, address: str) -> None:
    """Note where the server is; the address must hold no password."""
    state.source, state.address = "given", address


def answers(address: str) -> bool:
    """Whether somebody listens at an address, be it a URL or `host:port[,host:port…]`."""
    url = address if "://" in address else f"//{address.partition(',')[0]}"
    parts = urlsplit(url)
    return ports.is_open(parts.port or 5432, host=parts.hostname or ports.HOST)
