"""What becomes of commands at the door: accepted, known already, refused, or held a moment; pure.

A key (source, source_key) is taken by what is accepted, never by what is refused. The same content
again changes nothing; other content needs the next revision, and that needs the former one to have
ended without payment.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from contracts.claims import (
    ClaimRefused,
    ClaimSubmitted,
    ClaimWithdrawn,
    DuplicateWarning,
    SubmitClaim,
    WithdrawClaim,
)
from contracts.codec import MAX_BYTES
from contracts.values import Reason, claim_id
from services.claims.domain import CORRECTABLE, Claim, Facts, Own, State, settled
from services.claims.policy.validation import UNKNOWN, Entry, MasterData, faults, references

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from contracts.claims import ClaimLine

GRACE: Final = timedelta(seconds=5)
"""How long a command waits for master data, which comes on topics of its own and may be late."""
MAX_REASONS: Final = 300  # As many as one record carries even if every text in them is long.
MAX_TWINS: Final = 10  # Possible duplicates named per line; more make the warning no better.
MAX_WARNINGS: Final = 100  # Lines with a warning per claim; with all twins they stay small.
MAX_DOCUMENT: Final = MAX_BYTES - 100_000  # Leaves room for the warnings.

Command = SubmitClaim | WithdrawClaim
File = dict[int, Claim]
"""The revisions of one claim."""


class Outcome(StrEnum):
    """What became of a command."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one command: what is said of it, and the claim as it now stands."""

    outcome: Outcome
    facts: tuple[Own, ...] = ()
    claim: Claim | None = None
    document: bytes = b""
    prints: frozenset[int] = frozenset()

    @property
    def reasons(self) -> list[Reason]:
        """Why the command was refused; empty unless it was."""
        return [
            reason
            for fact in self.facts
            if isinstance(fact, ClaimRefused)
            for reason in fact.reasons
        ]


@dataclass(frozen=True, slots=True)
class Desk:
    """What lies on the desk when commands are judged.

    Commands first seen before `patience` wait no longer for master data; `held` are the claims for
    which a command waits already, and which therefore must not be overtaken.
    """

    now: datetime
    patience: datetime
    files: dict[UUID, File] = field(default_factory=dict)
    master: MasterData = field(default_factory=MasterData)
    twins: dict[int, list[UUID]] = field(default_factory=dict)
    held: set[UUID] = field(default_factory=set)


def id_of(command: Command) -> UUID:
    """The claim a command is about."""
    return claim_id(command.source, command.source_key)


def entries_of(commands: Iterable[Command]) -> set[Entry]:
    """Every name in a directory that judging these commands will ask for."""
    return {
        entry
        for command in commands
        if isinstance(command, SubmitClaim)
        for entry in references(command)
    }


def prints_of(commands: Iterable[Command]) -> set[int]:
    """The fingerprints of all expenses in these commands."""
    return {
        print_of(command, line)
        for command in commands
        if isinstance(command, SubmitClaim)
        for line in command.lines
    }


def print_of(claim: SubmitClaim | ClaimSubmitted, line: ClaimLine) -> int:
    """Eight bytes, equal for the same employee, date, gross amount, currency and merchant."""
    merchant = " ".join(line.merchant.casefold().split())
    amount = f"{line.gross.minor} {line.gross.currency}"
    parts = (claim.company, claim.employee, str(line.date), amount, merchant)
    digest = blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def judge(commands: Sequence[tuple[Command, datetime]], desk: Desk) -> list[Verdict]:
    """What becomes of each command (with when it was first seen), one after the other.

    What one is decided lies on the desk for the next.
    """
    verdicts = []
    for command, since in commands:
        number = id_of(command)
        verdict = _judge(command, number, desk, may_wait=since > desk.patience)
        _put(desk, number, verdict)
        verdicts.append(verdict)
    return verdicts


def _judge(command: Command, number: UUID, desk: Desk, *, may_wait: bool) -> Verdict:
    if number in desk.held:
        return Verdict(Outcome.HELD)
    file = desk.files.get(number, {})
    if isinstance(command, WithdrawClaim):
        return withdraw(command, file)
    known = _accepted(file).get(command.revision)
    if known is not None and known.digest == digest_of(_submitted(command, number)):
        return Verdict(Outcome.DUPLICATE, claim=known)
    reasons = _identity(command, file) or faults(command, desk.master, desk.now)
    if not reasons:
        return _accept(_submitted(command, number), desk.twins, file.get(command.revision))
    if may_wait and any(reason.code in UNKNOWN for reason in reasons):
        return Verdict(Outcome.HELD)
    return refuse(command, reasons)


def _put(desk: Desk, number: UUID, verdict: Verdict) -> None:
    """Lay on the desk what was decided, for whatever comes next."""
    if verdict.outcome is Outcome.HELD:
        desk.held.add(number)
    elif verdict.claim is not None:
        desk.files.setdefault(number, {})[verdict.claim.revision] = verdict.claim
    for mark in verdict.prints:
        desk.twins.setdefault(mark, []).append(number)


def _accepted(file: File) -> File:
    return {number: claim for number, claim in file.items() if claim.state is not State.AWAITED}


def digest_of(claim: ClaimSubmitted) -> bytes:
    """Sixteen bytes that tell the same content (warnings apart) from another."""
    return _digest(claim.model_dump_json().encode())


def _digest(document: bytes) -> bytes:
    return blake2b(document, digest_size=16).digest()


def _identity(command: SubmitClaim, file: File) -> list[Reason]:
    """Why a key and revision cannot be taken (again)."""
    accepted = _accepted(file)
    if not accepted:
        return []
    known = accepted.get(command.revision)
    if known is not None:
        detail = "this key and revision were accepted with other content; send the next revision"
        figures = {"accepted": str(known.total), "sent": str(command.total), "state": known.state}
        return [_refusal("KEY_REUSED", detail, "/source_key", figures)]
    latest = accepted[max(accepted)]
    figures = {
        "revision": str(command.revision),
        "latest": str(latest.revision),
        "state": str(latest.state),
    }
    if command.revision != latest.revision + 1:
        detail = f"after revision {latest.revision} comes {latest.revision + 1}"
        return [_refusal("REVISION_CONFLICT", detail, "/revision", figures)]
    if latest.state not in CORRECTABLE:
        detail = f"revision {latest.revision} is {latest.state}; only what ended unpaid is revised"
        return [_refusal("REVISION_CONFLICT", detail, "/revision", figures)]
    return []


def _refusal(code: str, detail: str, pointer: str | None, figures: Mapping[str, str]) -> Reason:
    return Reason(code=code, detail=detail, who="claimant", pointer=pointer, figures=dict(figures))


def _accept(
    fact: ClaimSubmitted, twins: Mapping[int, Sequence[UUID]], former: Claim | None
) -> Verdict:
    document = fact.model_dump_json().encode()
    digest = _digest(document)
    if len(document) > MAX_DOCUMENT:
        detail = f"the claim has {len(document)} bytes, at most {MAX_DOCUMENT} are carried"
        return refuse(fact, [_refusal("TOO_LARGE", detail, None, {"bytes": str(len(document))})])
    prints = {line.line: print_of(fact, line) for line in fact.lines}
    warnings = list(_warnings(fact.claim_id, prints, twins))[:MAX_WARNINGS]
    if warnings:
        fact = fact.model_copy(update={"warnings": warnings})
        document = fact.model_dump_json().encode()
    before = former or Claim(fact.claim_id, fact.revision, fact.company, fact.total)
    after = replace(
        before,
        company=fact.company,
        total=fact.total,
        facts=before.facts | Facts.SUBMITTED,
        source=fact.source,
        source_key=fact.source_key,
        employee=fact.employee,
        digest=digest,
    )
    said: tuple[Own, ...] = (fact, *settled(before, after))
    return Verdict(Outcome.ACCEPTED, said, after, document, frozenset(prints.values()))


def taken_back(fact: ClaimSubmitted, file: File) -> Verdict | None:
    """The acceptance of a claim that was said before, as it was said; None where it is known.

    After a restore what was said stands, whatever master data says by now.
    """
    if fact.revision in _accepted(file):
        return None
    plain = fact.model_copy(update={"warnings": []})  # The digest leaves warnings out.
    verdict = _accept(plain, {}, file.get(fact.revision))
    if verdict.claim is not None:
        file[fact.revision] = verdict.claim
    return replace(verdict, document=fact.model_dump_json().encode())


def _submitted(command: SubmitClaim, number: UUID) -> ClaimSubmitted:
    return ClaimSubmitted(
        claim_id=number,
        revision=command.revision,
        source=command.source,
        source_key=command.source_key,
        company=command.company,
        employee=command.employee,
        paid_by=command.paid_by,
        payee=command.payee or command.employee,
        purpose=command.purpose,
        lines=command.lines,
        total=command.total,
    )


def _warnings(
    own: UUID, prints: Mapping[int, int], twins: Mapping[int, Sequence[UUID]]
) -> Iterator[DuplicateWarning]:
    """Lines that another claim has as well, with those claims, the first known ones first."""
    for line, mark in prints.items():
        others = [one for one in twins.get(mark, ()) if one != own]
        if others:
            named = list(dict.fromkeys(others))[:MAX_TWINS]
            yield DuplicateWarning(line=line, claims=named)


def refuse(command: SubmitClaim | ClaimSubmitted, reasons: list[Reason]) -> Verdict:
    """The word that a claim is not taken, and every reason why."""
    fact = ClaimRefused(
        source=command.source,
        source_key=command.source_key,
        revision=command.revision,
        claim_id=claim_id(command.source, command.source_key),
        company=command.company,
        reasons=bounded(reasons),
        total=command.total,
    )
    return Verdict(Outcome.REFUSED, facts=(fact,))


def bounded(reasons: list[Reason]) -> list[Reason]:
    """As many reasons as a record can carry, and how many more there are."""
    if len(reasons) <= MAX_REASONS:
        return reasons
    more = len(reasons) - MAX_REASONS
    detail = f"{more} further reasons are not listed"
    return [*reasons[:MAX_REASONS], _refusal("MORE_REASONS", detail, None, {"more": str(more)})]


def withdraw(command: WithdrawClaim, file: File) -> Verdict:
    """The word that a claim is taken back, or why it cannot be; a second time says nothing."""
    accepted = _accepted(file)
    latest = accepted[max(accepted)] if accepted else None
    if latest is None:
        detail = "no claim was accepted under this key"
        return _keep(command, None, _refusal("CLAIM_UNKNOWN", detail, "/source_key", {}))
    figures = {"state": str(latest.state), "revision": str(latest.revision)}
    if latest.employee != command.by:
        detail = f"only {latest.employee}, whose claim it is, can take it back"
        return _keep(command, latest, _refusal("NOT_THE_OWNER", detail, "/by", figures))
    if latest.state is State.WITHDRAWN:
        return Verdict(Outcome.DUPLICATE, claim=latest)
    if latest.state in CORRECTABLE:
        detail = f"the claim is {latest.state} already"
        return _keep(command, latest, _refusal("ALREADY_ENDED", detail, None, figures))
    if Facts.POSTED in latest.facts:
        detail = f"the claim is {latest.state}; finance can reverse its entry"
        return _keep(command, latest, _refusal("ALREADY_POSTED", detail, None, figures))
    fact = ClaimWithdrawn(
        claim_id=latest.claim_id,
        revision=latest.revision,
        company=latest.company,
        total=latest.total,
        by=command.by,
        reason=command.reason,
    )
    return Verdict(Outcome.WITHDRAWN, facts=(fact,), claim=latest.told(Facts.WITHDRAWN))


def _keep(command: WithdrawClaim, latest: Claim | None, reason: Reason) -> Verdict:
    """A withdrawal refused: the claim stays as it is."""
    fact = ClaimRefused(
        source=command.source,
        source_key=command.source_key,
        revision=latest.revision if latest else 1,
        claim_id=id_of(command),
        company=latest.company if latest else "",
        reasons=[reason],
    )
    return Verdict(Outcome.REFUSED, facts=(fact,), claim=latest)
