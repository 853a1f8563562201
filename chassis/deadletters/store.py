"""The catalogue of dead letters: what people ask of it, and what they did, written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiokafka import ConsumerRecord

from chassis.outbox import unpack

if TYPE_CHECKING:
    from datetime import datetime

    from chassis.db import Reader, Row, Tx
    from chassis.outbox import Header

FIRST: Final = UUID(int=0)

_LETTER: Final = (
    'id, topic, partition, "offset", key, headers, value, kind, code, detail, handler, blocks_key, '
    "failed_at, state, fingerprint, error_class, record_ms, attempts, replays, last_failed_at, "
    "edited_key, edited_value, edited_by"
)
# Every filter that is not given holds for all.
_WHERE: Final = (
    "($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR code = $2) "
    "AND ($3::text IS NULL OR kind = $3) AND ($4::bytea IS NULL OR key = $4) "
    "AND ($5::text IS NULL OR fingerprint = $5) AND ($6::uuid[] IS NULL OR id = ANY($6))"
)


@dataclass(frozen=True, slots=True)
class Where:
    """Which dead letters are meant; a filter that is None holds for all."""

    state: str | None = None
    code: str | None = None
    kind: str | None = None
    key: str | None = None
    fingerprint: str | None = None
    ids: tuple[UUID, ...] | None = None

    def args(self) -> list[Any]:
        """The filters in the order of the statement's parameters."""
        key = None if self.key is None else self.key.encode()
        ids = None if self.ids is None else list(self.ids)
        return [self.state, self.code, self.kind, key, self.fingerprint, ids]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is kept: the record, why it failed, and what became of it."""

    id: UUID
    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: list[Header]
    value: bytes | None
    kind: str
    code: str
    detail: str
    handler: str
    blocks_key: bool
    failed_at: datetime
    state: str
    fingerprint: str
    error_class: str
    record_ms: int
    attempts: int
    replays: int
    last_failed_at: datetime
    edited_key: bytes | None
    edited_value: bytes | None
    edited_by: str | None

    @property
    def position(self) -> str:
        """Where the record lies, as refusals and proofs name it."""
        return f"{self.topic}/{self.partition}@{self.offset}"

    @property
    def valid_key(self) -> bytes | None:
        """The key that counts: the one a person has put in its place, or the record's own."""
        return self.key if self.edited_by is None else self.edited_key

    @property
    def valid_value(self) -> bytes | None:
        """The value that counts: the one a person has put in its place, or the record's own."""
        return self.value if self.edited_by is None else self.edited_value

    def record(self) -> ConsumerRecord[bytes | None, bytes | None]:
        """The record as the handlers shall see it now; its id stays."""
        headers = list(self.headers)
        if self.edited_by is not None:
            headers.append(("dlq-edited-by", self.edited_by.encode()))
        return ConsumerRecord(
            self.topic, self.partition, self.offset, self.record_ms, 0, self.valid_key,
            self.valid_value, None, 0, 0, tuple(headers),
        )  # fmt: skip


def _letter(row: Row) -> Letter:
    fields = dict(row.items())
    return Letter(**fields | {"headers": unpack(row["headers"])})


async def letters(reader: Reader, where: Where, after: UUID, limit: int) -> list[Letter]:
    """The dead letters meant, oldest first, after one of them."""
    rows = await reader.fetch(
        f"SELECT {_LETTER} FROM dead_letters WHERE {_WHERE} AND id > $7 ORDER BY id LIMIT $8",  # noqa: S608
        *where.args(),
        after,
        limit,
    )
    return [_letter(row) for row in rows]


async def letter(reader: Reader, letter_id: UUID) -> Letter | None:
    """One dead letter."""
    row = await reader.fetchrow(
        f"SELECT {_LETTER} FROM dead_letters WHERE id = $1",  # noqa: S608
        letter_id,
    )
    return _letter(row) if row else None


async def lock(tx: Tx, letter_id: UUID) -> Letter | None:
    """One dead letter, held until the transaction ends."""
    row = await tx.fetchrow(
        f"SELECT {_LETTER} FROM dead_letters WHERE id = $1 FOR UPDATE",  # noqa: S608
        letter_id,
    )
    return _letter(row) if row else None


async def chosen(reader: Reader, where: Where, run: UUID, limit: int) -> tuple[list[UUID], int]:
    """Ids of open letters that a run has not tried yet, oldest first; and how many there are."""
    rows = await reader.fetch(
        f"SELECT id, count(*) OVER () AS found FROM dead_letters d WHERE {_WHERE} "  # noqa: S608
        "AND NOT EXISTS (SELECT FROM dead_letter_actions a WHERE a.run_id = $7 "
        "AND a.letter_id = d.id) ORDER BY id LIMIT $8",
        *where.args(),
        run,
        limit,
    )
    return [row["id"] for row in rows], rows[0]["found"] if rows else 0


async def tried(reader: Reader, run: UUID) -> int:
    """How many letters a run has touched so far."""
    count = await reader.fetchval(
        "SELECT count(DISTINCT letter_id) FROM dead_letter_actions WHERE run_id = $1", run
    )
    return int(count)


async def groups(reader: Reader, state: str | None) -> list[Row]:
    """Dead letters by fingerprint; the group with most open letters first."""
    return await reader.fetch(
        "SELECT fingerprint, min(code) AS code, min(handler) AS handler, min(kind) AS kind, "
        "count(*) AS count, count(*) FILTER (WHERE state = 'open') AS open, "
        "min(failed_at) AS first_seen, max(last_failed_at) AS last_seen, "
        "(array_agg(id ORDER BY (state = 'open') DESC, id DESC))[1] AS example, "
        "extract(epoch FROM now() - min(failed_at) FILTER (WHERE state = 'open'))::bigint "
        "AS oldest_open_s FROM dead_letters GROUP BY fingerprint "
        "HAVING $1::text IS NULL OR count(*) FILTER (WHERE state = $1) > 0 "
        "ORDER BY open DESC, last_seen DESC LIMIT 1000",
        state,
    )


async def parked(reader: Reader, key: bytes | None, after: bytes, limit: int) -> list[Row]:
    """Keys whose events wait, how many since when, and behind which open dead letter."""
    return await reader.fetch(
        "SELECT p.key, count(*) AS count, min(p.parked_at) AS since, "
        "(SELECT d.id FROM dead_letters d WHERE d.key = p.key AND d.blocks_key "
        "AND d.state = 'open' ORDER BY d.id LIMIT 1) AS behind FROM parked p "
        "WHERE p.key > $2 AND ($1::bytea IS NULL OR p.key = $1) "
        "GROUP BY p.key ORDER BY p.key LIMIT $3",
        key,
        after,
        limit,
    )


async def waiting_behind(reader: Reader, key: bytes | None) -> int:
    """How many parked events a key has."""
    return int(await reader.fetchval("SELECT count(*) FROM parked WHERE key = $1", key))


async def held_by_others(tx: Tx, letter: Letter) -> bool:
    """Whether the letter's key waits for something else than this letter."""
    moved = letter.valid_key != letter.key
    return bool(
        await tx.fetchval(
            "SELECT EXISTS (SELECT FROM dead_letters WHERE key = $1 AND blocks_key "
            "AND state = 'open' AND id <> $2) OR ($3 AND EXISTS "
            "(SELECT FROM parked WHERE key = $1))",
            letter.valid_key,
            letter.id,
            moved,
        )
    )


async def actions(reader: Reader, letter_id: UUID) -> list[Row]:
    """What people did to a dead letter, oldest first."""
    return await reader.fetch(
        "SELECT run_id, action, outcome, acted_by, approved_by, reason, state_before, state_after, "
        "code, detail, patch, acted_at FROM dead_letter_actions WHERE letter_id = $1 "
        "ORDER BY at_place",
        letter_id,
    )


async def settle(tx: Tx, letter_id: UUID, state: str) -> None:
    """Close a dead letter; what waits behind it goes on."""
    await tx.execute(
        "UPDATE dead_letters SET state = $2, attempts = attempts + ($2 = 'replayed')::int, "
        "replays = replays + ($2 = 'replayed')::int WHERE id = $1",
        letter_id,
        state,
    )


async def fail_again(tx: Tx, letter_id: UUID, *, code: str, detail: str, error_class: str) -> None:
    """A replay has failed: the letter stays open and says why, now."""
    await tx.execute(
        "UPDATE dead_letters SET attempts = attempts + 1, replays = replays + 1, code = $2, "
        "detail = $3, error_class = $4, last_failed_at = $5 WHERE id = $1",
        letter_id,
        code,
        detail,
        error_class,
        tx.now,
    )


async def put_in_place(
    tx: Tx, letter_id: UUID, *, key: bytes | None, value: bytes | None, by: str, event_id: UUID
) -> None:
    """Let other bytes count in the place of the record's; its own stay."""
    await tx.execute(
        "UPDATE dead_letters SET edited_key = $2, edited_value = $3, edited_by = $4, "
        "event_id = $5 WHERE id = $1",
        letter_id,
        key,
        value,
        by,
        event_id,
    )


async def write_down(tx: Tx, letter: Letter, **act: object) -> None:
    """Add an act to the record of what was done; it can never be changed."""
    await tx.execute(
        "INSERT INTO dead_letter_actions (letter_id, state_before, key_before, value_before, "
        "acted_at, run_id, action, outcome, acted_by, approved_by, reason, state_after, code, "
        "detail, key_after, value_after, patch) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
        "$11, $12, $13, $14, $15, $16, $17)",
        letter.id,
        letter.state,
        letter.valid_key,
        letter.valid_value,
        tx.now,
        *(act.get(name) for name in _ACT),
    )


_ACT: Final = (
    "run_id", "action", "outcome", "acted_by", "approved_by", "reason", "state_after", "code",
    "detail", "key_after", "value_after", "patch",
)  # fmt: skip
