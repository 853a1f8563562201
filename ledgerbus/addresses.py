"""Where the running system answers, as `ledgerbus up` left it written down."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deploy.local.state import read_state
from ledgerbus.errors import CommandError, Exit


@dataclass(frozen=True, slots=True)
class Addresses:
    """The broker, the first replica of every service, and the folder of the spans."""

    root: Path
    kafka: str
    services: dict[str, str]
    spans_dir: Path


def home() -> Path:
    """The folder that holds the system's state: LEDGERBUS_HOME, or `.local` right here."""
    given = os.environ.get("LEDGERBUS_HOME")
    return Path(given) if given else Path.cwd() / ".local"


def addresses(root: Path | None = None) -> Addresses:
    """The addresses of the system that was started here; an error with its cure when none was."""
    folder = root or home()
    state = read_state(folder)
    if not state.kafka.address:
        raise CommandError(
            "Ledgerbus is not running here",
            why=f"{folder} holds no addresses",
            fix="run `make demo` or `ledgerbus up`, or say where it is in LEDGERBUS_HOME",
            code=Exit.UNREACHABLE,
        )
    services = {each.name: each.url for each in reversed(state.services) if each.process}
    return Addresses(
        root=folder,
        kafka=state.kafka.address,
        services=dict(sorted(services.items())),
        spans_dir=folder / "spans",
    )
