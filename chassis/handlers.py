"""The table of handlers a service hands over, and the order in which a batch reaches them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from contracts.codec import Unreadable, decode, kind_of, strict_json
from contracts.envelope import KINDS, Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiokafka import ConsumerRecord
    from opentelemetry.trace import Span

    from chassis.db import Tx
    from contracts.envelope import Cause

    Handler = Callable[[list[Any], Tx], Awaitable[None]]

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record of an untrusted topic that is no event, for the handler that answers those."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    code: str
    detail: str
    pointer: str | None
    cause: Cause


@dataclass(slots=True)
class Incoming:
    """One record on its way through: an event, or the problem that keeps it from being one."""

    record: ConsumerRecord[bytes | None, bytes | None]
    kind: str
    event: Event | None = None
    problem: Unreadable | None = None
    span: Span | None = None

    @property
    def key(self) -> bytes | None:
        """The record's key: what may not be overtaken, and what is parked."""
        key: bytes | None = self.record.key
        return key


@dataclass(slots=True)
class Handlers:
    """Which function takes which kind; each kind has one function."""

    by_kind: dict[str, Handler] = field(default_factory=dict)
    by_topic: dict[str, Handler] = field(default_factory=dict)
    by_own: dict[str, Handler] = field(default_factory=dict)

    def on(
        self, cls: type[E]
    ) -> Callable[
        [Callable[[list[E], Tx], Awaitable[None]]], Callable[[list[E], Tx], Awaitable[None]]
    ]:
        """Let a function handle events of one kind: a list of them, in one transaction."""

        def register(
            handler: Callable[[list[E], Tx], Awaitable[None]],
        ) -> Callable[[list[E], Tx], Awaitable[None]]:
            if cls.kind in self.by_kind:
                msg = f"{cls.kind} has a handler already"
                raise ValueError(msg)
            self.by_kind[cls.kind] = handler
            return handler

        return register

    def unreadable(
        self, topic: str
    ) -> Callable[
        [Callable[[list[UnreadableRecord], Tx], Awaitable[None]]],
        Callable[[list[UnreadableRecord], Tx], Awaitable[None]],
    ]:
        """Let a function answer what cannot be read on an untrusted topic: no dead letter then.

        Such a topic is also read strictly: RFC 8259 to the letter, and keyed as its kinds demand.
        """

        def register(
            handler: Callable[[list[UnreadableRecord], Tx], Awaitable[None]],
        ) -> Callable[[list[UnreadableRecord], Tx], Awaitable[None]]:
            self.by_topic[topic] = handler
            return handler

        return register

    def own(
        self, cls: type[E]
    ) -> Callable[
        [Callable[[list[E], Tx], Awaitable[None]]], Callable[[list[E], Tx], Awaitable[None]]
    ]:
        """Let a function take back the service's own facts once its database was restored.

        It makes the state what it was when they were said, says nothing, and is called with facts
        that the database knows as well: those must change nothing.
        """

        def register(
            handler: Callable[[list[E], Tx], Awaitable[None]],
        ) -> Callable[[list[E], Tx], Awaitable[None]]:
            self.by_own[cls.kind] = handler
            return handler

        return register

    @property
    def topics(self) -> list[str]:
        """The topics of all kinds listened to."""
        return sorted({KINDS[kind].topic for kind in self.by_kind})

    def read(
        self, record: ConsumerRecord[bytes | None, bytes | None], topic: str
    ) -> Incoming | None:
        """The record as an event or a problem; None for kinds that nobody here listens to."""
        kind = kind_of(record.headers)
        if kind is not None and kind not in self.by_kind and topic not in self.by_topic:
            return None
        incoming = Incoming(record, kind or "")
        try:
            if topic in self.by_topic and record.value is not None:
                strict_json(record.value)
            incoming.event = _judged(decode(record.headers, record.value), record, topic)
            incoming.kind = incoming.event.kind
        except Unreadable as problem:
            if problem.code == "TYPE_UNKNOWN" and topic not in self.by_topic:
                return None
            incoming.problem = problem
        return incoming if incoming.problem or incoming.kind in self.by_kind else None


def _judged(event: Event, record: ConsumerRecord[bytes | None, bytes | None], topic: str) -> Event:
    if event.topic != topic:
        raise Unreadable("TOPIC_MISMATCH", f"{event.kind} belongs on {event.topic}")
    if record.key is None or record.key != event.key.encode():
        raise Unreadable("KEY_MISMATCH", f"the record's key must be its {event.key_field}")
    return event


def stages(batch: Iterable[Incoming]) -> list[dict[str, list[Incoming]]]:
    """Group a batch by kind without letting a key overtake itself.

    A key goes on in the stage it is in while its kind stays the same, and in the next stage when it
    changes; stages run in order, and within a stage the kinds touch different keys.
    """
    plan: list[dict[str, list[Incoming]]] = []
    last: dict[bytes | None, tuple[int, str]] = {}
    for incoming in batch:
        stage, kind = last.get(incoming.key, (0, incoming.kind))
        if kind != incoming.kind:
            stage += 1
        last[incoming.key] = (stage, incoming.kind)
        if stage == len(plan):
            plan.append({})
        plan[stage].setdefault(incoming.kind, []).append(incoming)
    return plan
