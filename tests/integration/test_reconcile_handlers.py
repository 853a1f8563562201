"""What reconcile makes of entries and reversals, in whatever order the bank's lines join them."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from contracts.masterdata import EmployeeDefined
from contracts.reconcile import ExceptionOpened, PaymentMatched, PaymentReturned
from contracts.values import Money
from services.reconcile.handlers import (
    expect_nothing,
    expect_payment,
    learn_accounts,
    learn_names,
)
from services.reconcile.jobs import judge_again
from tests.support import client_of, given, said, violations
from tests.support.reconcile_values import (
    ACCOUNT,
    DAY,
    a_company,
    a_reversal,
    a_statement_file,
    an_entry,
    an_xml_entry,
    reference_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chassis.db import Database
    from contracts.envelope import Event


@pytest.fixture
async def database(
    database_of: Callable[[str], Awaitable[Database]],
) -> AsyncIterator[Database]:
    """Reconcile's database with one company's account; its invariants hold when the test ends."""
    database = await database_of("reconcile")
    async with database.transaction() as tx:
        await learn_accounts([given(a_company())], tx)
    yield database
    assert await violations("reconcile", database) == []


async def post(database: Database, *entries: Event) -> None:
    async with database.transaction() as tx:
        # `given` is generic, and the comprehension loses which event it gives back.
        await expect_payment([given(entry) for entry in entries], tx)  # type: ignore[misc]


async def reverse(database: Database, *reversals: Event) -> None:
    async with database.transaction() as tx:
        # As above.
        await expect_nothing([given(reversal) for reversal in reversals], tx)  # type: ignore[misc]


async def deliver(
    database: Database, *entries: tuple[int, str], name: str = "S1"
) -> dict[str, Any]:
    content = a_statement_file(entries, name=name)
    async with client_of("reconcile", database) as http:
        answer = await http.post(
            "/v1/statements", content=content, headers={"Content-Type": "application/xml"}
        )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["statements"][0]
    return found


async def items_of(database: Database, number: int) -> list[dict[str, Any]]:
    async with client_of("reconcile", database) as http:
        answer = await http.get("/v1/items", params={"claim_id": str(an_entry(number).claim_id)})
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_an_entry_opens_one_item_however_often_it_is_heard(database: Database) -> None:
    await post(database, an_entry(1), an_entry(2, minor=-500))
    await post(database, an_entry(1), an_entry(1))
    (item,) = await items_of(database, 1)
    assert (item["state"], item["open"]["amount"]) == ("open", "100.00")
    (refund,) = await items_of(database, 2)
    assert refund["open"]["amount"] == "-5.00"
    assert await said(database) == []


async def test_a_line_pays_the_entry_it_names_and_says_so_in_its_trace(database: Database) -> None:
    entry = given(an_entry(1))
    async with database.transaction() as tx:
        await expect_payment([entry], tx)
    answer = await deliver(database, (-10_000, an_xml_entry(-10_000, reference_of(1))))
    assert (answer["matched"], answer["exceptions"], answer["proven"]) == (1, 0, True)
    (fact,) = await said(database)
    assert isinstance(fact, PaymentMatched)
    assert (fact.paid, fact.open) == (Money(10_000, "EUR"), Money(0, "EUR"))
    assert (fact.rule, fact.bank_line.account) == ("own-reference", ACCOUNT)
    assert fact.meta.causation_id == entry.meta.id
    assert fact.meta.traceparent[:35] == entry.meta.traceparent[:35]
    (item,) = await items_of(database, 1)
    assert (item["state"], len(item["payments"])) == ("paid", 1)


async def test_an_entry_that_comes_after_its_bank_line_is_settled_at_once(
    database: Database,
) -> None:
    answer = await deliver(
        database,
        (-10_000, an_xml_entry(-10_000, reference_of(1))),
        (-2_000, an_xml_entry(-2_000, text=f"EXPENSES {reference_of(2)}")),
        (-7_000, an_xml_entry(-7_000, reference_of(3), reference_of(4), amounts=(3_000, 4_000))),
    )
    assert answer["exceptions"] == 3
    opened = await said(database)
    assert [type(fact) for fact in opened] == [ExceptionOpened] * 3
    await post(database, an_entry(1), an_entry(2, minor=2_000), an_entry(3, minor=3_000))
    facts = [fact for fact in await said(database) if isinstance(fact, PaymentMatched)]
    assert {fact.claim_id for fact in facts} == {an_entry(1).claim_id, an_entry(2).claim_id}
    await post(database, an_entry(4, minor=4_000))
    paid = [fact.paid.minor for fact in await said(database) if isinstance(fact, PaymentMatched)]
    assert paid == [3_000, 4_000]
    async with client_of("reconcile", database) as http:
        assert (await http.get("/v1/exceptions")).json()["items"] == []
        closed = (await http.get("/v1/exceptions?state=closed")).json()["items"]
    assert [one["state"] for one in closed] == ["settled"] * 3


async def test_a_handler_that_is_run_again_with_its_batch_says_nothing_new(
    database: Database,
) -> None:
    await deliver(database, (-10_000, an_xml_entry(-10_000, reference_of(1))))
    await said(database)
    await post(database, an_entry(1))
    assert len(await said(database)) == 1
    await post(database, an_entry(1))
    await reverse(database, a_reversal(1))
    assert len(await said(database)) == 1
    await reverse(database, a_reversal(1))
    assert await said(database) == []


async def test_a_reversal_closes_an_unpaid_item(database: Database) -> None:
    await post(database, an_entry(1))
    await reverse(database, a_reversal(1))
    (item,) = await items_of(database, 1)
    assert (item["state"], item["open"]["amount"]) == ("reversed", "0.00")
    assert await said(database) == []
    answer = await deliver(database, (-10_000, an_xml_entry(-10_000, reference_of(1))))
    assert answer["exceptions"] == 1
    (fact,) = await said(database)
    assert isinstance(fact, ExceptionOpened)
    assert (fact.reason.code, fact.candidates) == ("NOTHING_OPEN", [an_entry(1).claim_id])


async def test_a_reversal_that_overtakes_its_entry_wins(database: Database) -> None:
    await reverse(database, a_reversal(1))
    await post(database, an_entry(1))
    (item,) = await items_of(database, 1)
    assert (item["state"], item["reference"]) == ("reversed", reference_of(1))
    await deliver(database, (-10_000, an_xml_entry(-10_000, reference_of(1))))
    assert [fact.kind for fact in await said(database)] == [ExceptionOpened.kind]


async def test_a_paid_entry_that_is_reversed_needs_a_person_until_the_money_is_back(
    database: Database,
) -> None:
    await post(database, an_entry(1))
    await deliver(database, (-10_000, an_xml_entry(-10_000, reference_of(1))))
    await said(database)
    reversal = given(a_reversal(1))
    async with database.transaction() as tx:
        await expect_nothing([reversal], tx)
    (fact,) = await said(database)
    assert isinstance(fact, ExceptionOpened)
    assert fact.reason.code == "REVERSED_AFTER_PAYMENT"
    assert fact.bank_line
    assert fact.meta.causation_id == reversal.meta.id
    await deliver(
        database, (10_000, an_xml_entry(10_000, reference_of(1), returned=True)), name="S2"
    )
    (returned,) = await said(database)
    assert isinstance(returned, PaymentReturned)
    assert (returned.returned, returned.open) == (Money(10_000, "EUR"), Money(0, "EUR"))
    async with client_of("reconcile", database) as http:
        assert (await http.get("/v1/exceptions")).json()["items"] == []


async def test_an_entry_missed_by_a_running_import_is_found_by_the_clock(
    database: Database,
) -> None:
    async with database.transaction() as posting:
        await expect_payment([given(an_entry(1))], posting)
        answer = await deliver(database, (-10_000, an_xml_entry(-10_000, reference_of(1))))
        assert answer["exceptions"] == 1
    await said(database)
    await judge_again(database)
    assert [fact.kind for fact in await said(database)] == [PaymentMatched.kind]
    await judge_again(database)
    assert await said(database) == []


async def test_a_line_known_only_by_its_payee_finds_a_later_entry_by_the_clock(
    database: Database,
) -> None:
    async with database.transaction() as tx:
        names = [EmployeeDefined(company="ACME", employee="E-1001", name="Grace Hopper")]
        await learn_names([given(name) for name in names], tx)
    line = an_xml_entry(-10_000, party="HOPPER GRACE", text="EXPENSES")
    await deliver(database, (-10_000, line))
    await said(database)
    await post(database, an_entry(1))
    assert await said(database) == []
    await judge_again(database)
    (fact,) = await said(database)
    assert isinstance(fact, PaymentMatched)
    assert fact.rule == "amount-date-payee"


async def test_accounts_follow_their_companys_newest_definition(database: Database) -> None:
    other = a_company("DE02120300000000202051", ACCOUNT.lower(), company="OTHER")
    async with database.transaction() as tx:
        await learn_accounts([given(a_company("GONE")), given(a_company("NEW")), given(other)], tx)
    async with database.reader() as reader:
        rows = await reader.fetch("SELECT account, company FROM accounts ORDER BY account")
    assert [tuple(row) for row in rows] == [
        (ACCOUNT, "OTHER"),
        ("DE02120300000000202051", "OTHER"),
        ("NEW", "ACME"),
    ]


async def test_whatever_comes_first_the_end_is_the_same(database: Database) -> None:
    steps = ("entry", "paid", "returned", "paid again")
    for number, order in enumerate(permutations(steps), 1):
        reference = reference_of(number)
        for step in order:
            if step == "entry":
                await post(database, an_entry(number))
                continue
            minor = 10_000 if step == "returned" else -10_000
            line = an_xml_entry(
                minor,
                reference,
                returned=minor > 0,
                on=DAY + timedelta(days=steps.index(step)),
            )
            await deliver(database, (minor, line), name=f"{step} {number}")
        (item,) = await items_of(database, number)
        assert item["state"] == "paid", order
        assert len(item["payments"]) == 3, order
    async with client_of("reconcile", database) as http:
        assert (await http.get("/v1/exceptions")).json()["items"] == []


async def test_parts_on_several_statements_complete_an_entry(database: Database) -> None:
    await post(database, an_entry(1))
    first = await deliver(database, (-4_000, an_xml_entry(-4_000, reference_of(1))), name="S1")
    assert first["exceptions"] == 1
    second = await deliver(database, (-6_000, an_xml_entry(-6_000, reference_of(1))), name="S2")
    assert second["matched"] == 2
    facts = [fact for fact in await said(database) if isinstance(fact, PaymentMatched)]
    assert {fact.rule for fact in facts} == {"partial-payments"}
    assert sorted(fact.paid.minor for fact in facts) == [4_000, 6_000]


async def test_lines_that_want_the_same_item_stay_ambiguous_across_statements(
    database: Database,
) -> None:
    for name in ("S1", "S2"):
        line = an_xml_entry(-10_000, party="E-1001", text=f"EXPENSES {name}")
        await deliver(database, (-10_000, line), name=name)
    await post(database, an_entry(1))
    await judge_again(database)
    facts = await said(database)
    assert [fact.kind for fact in facts] == [ExceptionOpened.kind] * 2
    async with client_of("reconcile", database) as http:
        waiting = (await http.get("/v1/exceptions")).json()["items"]
    assert [one["code"] for one in waiting] == ["AMBIGUOUS"] * 2
