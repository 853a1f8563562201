"""`ledgerbus demo run`: an invented month through the whole chain, proven to the cent at its end.

Every step can be repeated: what stands already stays as it is, and a second run says so.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from chassis import telemetry
from contracts.codec import Unreadable
from contracts.values import PaidBy, claim_id
from ledgerbus import bank, load
from ledgerbus.addresses import home
from ledgerbus.calls import services
from ledgerbus.claimfile import ClaimFile
from ledgerbus.demo.deliver import deliver_all, worked
from ledgerbus.demo.follow import following, line_of
from ledgerbus.demo.people import ONE_IN, decide_everything
from ledgerbus.errors import CommandError, Exit
from ledgerbus.imports import publish_claims
from ledgerbus.layout import load_layout
from ledgerbus.organisation import read_organisation
from ledgerbus.program import command
from ledgerbus.prove import Proof, conservation_sheets, proven, show_counts, verdict
from ledgerbus.prove_file import outcome_of
from ledgerbus.quiet import quiet
from ledgerbus.reading import read_everything
from ledgerbus.sending import sending
from ledgerbus.stack import bring_up
from ledgerbus.statements import counted, in_all

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from contracts.claims import SubmitClaim
    from ledgerbus.addresses import Addresses
    from ledgerbus.calls import Services
    from ledgerbus.claimfile import FileClaim
    from ledgerbus.reading import Reading

    Say = Callable[[str], None]

HERE: Final = Path(__file__).parent
MONTH: Final = HERE / "month.csv"
ORGANISATION: Final = HERE / "organisation.yaml"
LAYOUT: Final = "made-month"
SEED: Final = 20261001
ANSWERS: Final = 40  # Looks at the topics until every command is answered; a look takes seconds.


def run_command(
    month: Annotated[
        Path, typer.Option(help="Another month's claims, in the made month's layout.")
    ] = MONTH,
) -> None:
    """Bring the system up, move a month of claims through it, prove that no cent was lost.

    Loads an organisation, imports 500 claims, lets invented approvers decide and an invented bank
    pay, and leaves everything running. A second run adds nothing.

    Example: `ledgerbus demo run` (which is what `make demo` does).
    """
    asyncio.run(Demo(Console(highlight=False), month).run())


class Demo:
    """One telling of the demo."""

    def __init__(self, screen: Console, month: Path) -> None:
        self.screen = screen
        self.month = ClaimFile(month, load_layout(LAYOUT))

    async def run(self) -> None:
        """All of it, from nothing to the proof."""
        where = await bring_up(home())
        telemetry.start("cli", spans_dir=where.spans_dir)
        try:
            async with services(where) as running:
                before = await self._organisation(where)
                shown = self.shown_claim()
                await self._month(where, running, before, shown)
                proof = await proven(where)
                causes = (await running.get("posting", "/v1/holds/causes"))["items"]
                waits = [held_claims(cause, where.services["posting"]) for cause in causes]
                if exceptions := await _open_exceptions(running):
                    waits.append(waiting_lines(exceptions, where.services["reconcile"]))
                self._end(where, proof, before.stories.facts, waits)
                self._next(shown)
        finally:
            telemetry.stop()
        if not proof.holds:
            raise typer.Exit(Exit.FAILED)
        if proof.unreachable:
            raise typer.Exit(Exit.UNREACHABLE)

    async def _organisation(self, where: Addresses) -> Reading:
        with self._step("organisation") as say:
            loaded = await load.load(where, ORGANISATION, read_organisation(ORGANISATION))
            new, same = loaded.published.total(), loaded.unchanged.total()
            say(f"{new} records published, {same} stood already")
        return await read_everything(where)

    async def _month(
        self, where: Addresses, running: Services, before: Reading, shown: FileClaim
    ) -> None:
        claim = str(claim_id(shown.source, shown.source_key))
        waiting = self._unanswered(before)
        if not waiting:
            self.screen.print(f"The month is in already. The path of claim {shown.source_key}:")
            await self._recall(running, claim)
            await self._people_and_bank(where, running)
            return
        self.screen.print(f"The path of claim {shown.source_key}, as it happens:")
        async with following(where, claim, self.screen):
            with self._step("import") as say:
                async with sending(where.kafka) as sender:
                    tally = await publish_claims(sender, self.month, None, lambda: None)
                await self._answered(where)
                sums = ", ".join(str(amount) for amount in tally.sums.values())
                say(f"{tally.claims} claims over {sums} published, every one answered")
            await self._people_and_bank(where, running)

    def _unanswered(self, reading: Reading) -> list[str]:
        return [
            claim.source_key
            for claim in self.month
            if outcome_of(reading.stories, claim.source, claim.source_key) is None
        ]

    async def _answered(self, where: Addresses) -> None:
        """Wait until every claim of the month has an outcome and nothing moves by itself."""
        for _ in range(ANSWERS):
            await quiet(where)
            waiting = self._unanswered(await read_everything(where))
            if not waiting:
                return
        raise CommandError(
            f"{len(waiting)} claims of the month have no answer",
            why=f"the first is {waiting[0]}",
            fix="see `ledgerbus status` and the claims service's log",
        )

    async def _people_and_bank(self, where: Addresses, running: Services) -> None:
        with self._step("people") as say:
            company = self.month.layout.company
            decided = await decide_everything(where, running, company=company)
            say(_listed(decided) or "nobody was asked for anything")
        with self._step("bank") as say:
            desk, working = await bank.pay(where, seed=SEED, noise=True)
            say(worked(working))
            delivered = in_all(await deliver_all(running, desk))
            await quiet(where)
            if delivered:
                say(f"reconcile read {counted(delivered)}")

    @contextmanager
    def _step(self, name: str) -> Iterator[Say]:
        """Tell what a step did, under its name."""
        yield lambda text: self.screen.print(f"[bold]{name:<14}[/]{text}", soft_wrap=True)

    async def _recall(self, running: Services, claim: str) -> None:
        journey = await running.get("claims", f"/v1/claims/{claim}/journey")
        began: datetime | None = None
        for step in journey["steps"]:
            at = datetime.fromisoformat(step["at"])
            began = began or at
            line = line_of(step["kind"], step["figures"], at - began)
            self.screen.print(line, soft_wrap=True)

    def shown_claim(self) -> FileClaim:
        """A claim worth watching: an employee paid more than most, on several lines."""
        readable = list(_commands(self.month))
        middle = median(command.total.minor for _, command in readable)
        return next(
            claim
            for claim, command in readable
            if command.paid_by is PaidBy.EMPLOYEE
            and command.total.minor > middle
            and len(command.lines) > 1
            and claim_id(claim.source, claim.source_key).int % ONE_IN
        )

    def _end(self, where: Addresses, proof: Proof, before: int, waits: list[str]) -> None:
        for sheet in conservation_sheets(proof.table):
            self.screen.print(sheet)
        show_counts(self.screen, proof.table)
        for told in waits:
            self.screen.print(told, markup=False, soft_wrap=True)
        added = proof.reading.stories.facts - before
        if not added:
            self.screen.print("Nothing was added: everything stood already.")
        if proof.holds and proof.unreachable:
            self.screen.print(verdict(proof, None), soft_wrap=True)
        elif proof.holds:
            said = f"{proof.reading.stories.facts} facts, no gap, no violation"
            self.screen.print(f"[green]Money is conserved:[/] {said}.")
        else:
            told = f"see `{escape(command('prove'))}`."
            self.screen.print(f"[red]The proof fails:[/] {told}", soft_wrap=True)
        for name, url in where.services.items():
            self.screen.print(f"  {name:<10} {url}/openapi.json")

    def _next(self, shown: FileClaim) -> None:
        claim = claim_id(shown.source, shown.source_key)
        self.screen.print("Worth typing next (`make down` ends the system):")
        for words in (f"claim show {claim}", f"trace {claim}", "prove"):
            self.screen.print(f"  {command(words)}", markup=False, soft_wrap=True)


def _commands(month: ClaimFile) -> Iterator[tuple[FileClaim, SubmitClaim]]:
    """The claims of a file that can be read, each with its command."""
    for claim in month:
        try:
            yield claim, claim.command()
        except Unreadable:
            continue


def held_claims(cause: dict[str, Any], posting: str) -> str:
    """What holds claims at posting, how much waits for it, and where that is listed."""
    claims = "1 claim" if cause["claims"] == 1 else f"{cause['claims']} claims"
    amount, currency = cause["total"]["amount"], cause["total"]["currency"]
    return (
        f"{claims} over {amount} {currency} held at posting: {cause['code']} {cause['missing']}, "
        f"until that is published. Listed at\n  {posting}/v1/holds"
    )


def waiting_lines(count: int, reconcile: str) -> str:
    """How many bank lines wait for a person, where they are listed, and who settles them here."""
    lines = "1 bank line waits" if count == 1 else f"{count} bank lines wait"
    return (
        f"{lines} for a person: unclear, so not guessed. They are listed at\n"
        f"  {reconcile}/v1/exceptions?state=open\n"
        f"`{command('demo clerk')}` settles them as a person would who asks the bank."
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


async def _open_exceptions(running: Services) -> int:
    found = [one async for one in running.items("reconcile", "/v1/exceptions", state="open")]
    return len(found)
