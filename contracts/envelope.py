"""The envelope: what an event is, how a kind is declared, and the registry of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Meta:
    """CloudEvents 1.0 attributes of one event, as carried in the record's headers."""

    id: UUID
    type: str
    source: str
    subject: str
    time: datetime
    sequence: str = ""
    correlation_id: str = ""
    causation_id: UUID | None = None
    traceparent: str = ""
    tracestate: str = ""

    @property
    def cause(self) -> Cause:
        """What an event caused by this one must remember."""
        correlation_id = self.correlation_id or self.subject
        return Cause(self.id, correlation_id, self.traceparent, self.tracestate)


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a later event, small enough to be stored beside a row that waits.

    `event_id` becomes the causation id; `traceparent` (W3C) keeps the trace connected.
    """

    event_id: UUID
    correlation_id: str
    traceparent: str = ""
    tracestate: str = ""


class Event(BaseModel):
    """A fact (or a command) with a written wire name; declare each with `@event(kind)`."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    kind: ClassVar[str]
    topic: ClassVar[str]
    key_field: ClassVar[str]

    __slots__ = ("_envelope",)  # Not a pydantic attribute: events are equal if their facts are.

    @property
    def meta(self) -> Meta:
        """The attributes this event was read with; an error for one that was only built."""
        meta: Meta | None = getattr(self, "_envelope", None)
        if meta is None:
            msg = f"{type(self).__name__} was built here and not read from the wire"
            raise LookupError(msg)
        return meta

    def with_meta(self, meta: Meta) -> Self:
        """This event, as read with the given attributes."""
        object.__setattr__(self, "_envelope", meta)
        return self

    @property
    def key(self) -> str:
        """The partition key: one story, one key, one order."""
        return str(getattr(self, self.key_field))


E = TypeVar("E", bound="Event")

KINDS: dict[str, type[Event]] = {}
"""Every kind by wire name; filled by the decorator as the modules of this package are imported."""


def event(kind: str, *, topic: str = "", key: str = "claim_id") -> Callable[[type[E]], type[E]]:
    """Declare a kind: wire name, topic (`<publisher>.events` unless given), key field."""

    def declare(cls: type[E]) -> type[E]:
        if kind in KINDS:
            msg = f"the kind {kind} is declared twice"
            raise ValueError(msg)
        cls.kind = kind
        cls.topic = topic or f"{kind.partition('.')[0]}.events"
        cls.key_field = key
        KINDS[kind] = cls
        return cls

    return declare
