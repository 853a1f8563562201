"""A system of its own for whatever replaces, grows or sets back its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.world import World, running_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The running system."""
    async with running_world(tmp_path_factory.mktemp("rolling") / "state") as world:
        yield world
