"""Ports of this machine: the wanted one if nobody has it, else the next that is free."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Collection

HOST = "127.0.0.1"
SEARCHED = 500  # Wide enough to pass several stacks side by side, still below the next default.


def choose_port(wanted: int, *, taken: Collection[int] = ()) -> int:
    """The first free port from the wanted one upwards that is not in `taken`."""
    for port in range(wanted, wanted + SEARCHED):
        if port not in taken and is_free(port):
            return port
    raise StackError(
        f"No free port from {wanted} to {wanted + SEARCHED - 1}",
        why="every one of them is in use",
        fix="end the programs that hold them (`ss -ltnp` lists them), then start again",
    )


def is_free(port: int) -> bool:
    """Whether nobody listens on the port of this machine."""
    return not is_open(port) and _binds(port)


def is_open(port: int, *, host: str = HOST) -> bool:
    """Whether somebody answers on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _binds(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a port whose last connections are still fading counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
