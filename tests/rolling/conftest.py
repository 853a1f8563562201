"""A system of its own for whatever replaces, grows or sets back its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.local import Stack
from tests.e2e.world import World, command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The running system; servers that the environment names belong to somebody else."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
        environment.delenv("POSTGRES_URL", raising=False)
        root = tmp_path_factory.mktemp("rolling") / "state"
        try:
            yield await World.up(root)
        finally:
            await command(root, "down")
            await Stack(root).destroy()  # Its database may lie outside the root.
