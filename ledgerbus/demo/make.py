"""Makes the demo's month of claims and its organisation: `python -m ledgerbus.demo.make`.

The same seed gives the same files, byte for byte; both are committed, and a test compares them.
Most claims are ordinary. The others are what a month-end is about: refunds, foreign trips, twins,
claims that are too large, beyond a budget, without an account, and some that nobody should accept.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from contracts.values import Money
from ledgerbus.claimrow import included_tax
from ledgerbus.demo.company import CARDS, CATEGORIES, CURRENCY, PEOPLE, RATES, organisation
from ledgerbus.organisation import written_organisation

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledgerbus.demo.company import Person

    Story = Callable[[Random, str], "Claim"]

HERE: Final = Path(__file__).parent
SEED: Final = 202610
CLAIMS: Final = 500
FIRST: Final = date(2026, 10, 1)
DAYS: Final = 31
COLUMNS: Final = (
    *("报销单号", "报销人", "支付方式", "收款方", "事由"),
    *("日期", "费用类别", "成本中心", "项目", "商户", "发票号"),
    *("不含税金额", "税额", "价税合计", "原币金额", "原币", "汇率", "单据合计"),
)
TITLE: Final = "The demo's company, made by `python -m ledgerbus.demo.make`; everybody is invented."
EMPLOYEE, CARD, SUPPLIER = "员工垫付", "公司卡", "供应商发票"
CITIES: Final = ["北京", "上海", "深圳", "成都", "武汉", "西安", "杭州", "青岛", "长沙", "厦门"]
HOTELS: Final = ["云岫酒店", "栖止酒店", "半山客舍", "江畔商务酒店", "望湖宾馆"]
RESTAURANTS: Final = ["拾味小馆", "一方食府", "听雨楼", "南枝餐厅", "松间料理"]
SUPPLIERS: Final = (
    ("SUP-1001", "文澜办公用品", "office", "办公用品月结"),
    ("SUP-1002", "知行培训中心", "training", "班组长培训"),
    ("SUP-1003", "顺达快运", "courier", "月结快递"),
    ("SUP-1004", "星海会展服务", "conference", "展会场地费"),
)
ABROAD: Final = (
    ("USD", "Harbor View Inn", 180, "赴美国参加仪器展"),
    ("EUR", "Hotel am Fluss", 150, "赴德国客户验收"),
    ("JPY", "港北ホテル", 14_000, "赴日本供应商审核"),
    ("HKD", "维港商务酒店", 1_100, "赴香港参加论坛"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One expense; amounts in the smallest unit, `original` as the file has it."""

    day: date
    category: str
    gross: int
    merchant: str = ""
    receipt: str = ""
    cost_center: str = ""
    project: str = ""
    original: tuple[str, str, str] = ("", "", "")


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim; `cells` are overwritten at the end, which is how faults come about."""

    number: str
    by: Person
    paid: str
    purpose: str
    lines: tuple[Line, ...]
    payee: str = ""
    cells: tuple[tuple[str, str], ...] = ()


def month(seed: int = SEED) -> list[Claim]:
    """The month's claims in the order they were handed in."""
    random = Random(seed)  # noqa: S311 - the same month every time is what is wanted
    stories: list[Story] = []
    for story, times in MIX.items():
        stories += [story] * times
    stories += [_everyday] * (CLAIMS - len(stories) - len(FAULTS) - TWINS)
    random.shuffle(stories)
    claims = [story(random, f"BX2610-{place:04}") for place, story in enumerate(stories, start=1)]
    for fault in FAULTS:
        sound = _everyday(random, f"BX2610-{len(claims) + 1:04}")
        claims.append(replace(sound, cells=fault))
    everyday = [claim for claim in claims if claim.paid == EMPLOYEE and not claim.cells]
    for twin in random.sample(everyday, TWINS):
        claims.append(replace(twin, number=f"BX2610-{len(claims) + 1:04}"))
    return claims


def written_month(claims: list[Claim]) -> str:
    """The month as the CSV file that the layout `made-month` reads."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for claim in claims:
        total = _amount(sum(line.gross for line in claim.lines))
        for line in claim.lines:
            writer.writerow(_row(claim, line, total) | dict(claim.cells))
    return text.getvalue()


def _row(claim: Claim, line: Line, total: str) -> dict[str, str]:
    percent = CATEGORIES[line.category].percent
    gross = Money(line.gross, CURRENCY)
    tax = included_tax(gross, percent) if percent and not line.original[0] else Money.zero(CURRENCY)
    cells = (
        *(claim.number, claim.by.id, claim.paid, claim.payee, claim.purpose),
        *(line.day.isoformat(), line.category, line.cost_center or claim.by.cost_center),
        *(line.project, line.merchant, line.receipt),
        *((gross - tax).amount, tax.amount, gross.amount),
        *(*line.original, total),
    )
    return dict(zip(COLUMNS, cells, strict=True))


def _amount(minor: int) -> str:
    return Money(minor, CURRENCY).amount


def _staff(random: Random) -> Person:
    return random.choice([person for person in PEOPLE if person.grade != "executive"])


def _of(random: Random, cost_center: str) -> Person:
    return random.choice([each for each in PEOPLE if each.cost_center == cost_center])


def _day(random: Random) -> date:
    return FIRST + timedelta(days=random.randrange(DAYS))


def _receipt(random: Random) -> str:
    return f"2631{random.randrange(10**16):016}"


def _price(random: Random, low: int, high: int) -> int:
    """A price in fen between two prices in yuan; people like round ones."""
    yuan = random.randint(low, high)
    return yuan * 100 + random.choice((0, 0, 0, 50, random.randrange(100)))


def _everyday(random: Random, number: str) -> Claim:
    """Taxi rides, phone bills, pens."""
    category, low, high, merchant, purpose = random.choice(
        (
            ("local-transport", 12, 160, "城行出租", "市内客户拜访"),
            ("local-transport", 12, 160, "城行出租", "加班交通"),
            ("phone", 60, 300, "通信营业厅", "十月通讯费"),
            ("office", 20, 900, "文澜办公用品", "办公用品"),
            ("courier", 12, 90, "顺达快运", "寄送样机资料"),
        )
    )
    lines = tuple(
        Line(_day(random), category, _price(random, low, high), merchant, _receipt(random))
        for _ in range(random.choice((1, 1, 1, 2, 3)))
    )
    return Claim(number, _staff(random), EMPLOYEE, purpose, lines)


def _trip(random: Random, number: str) -> Claim:
    """Two trains, some nights, some allowance."""
    by, city = _staff(random), random.choice(CITIES)
    nights = random.randint(1, 4)
    start = FIRST + timedelta(days=random.randrange(DAYS - nights))
    end = start + timedelta(days=nights)
    project = random.choice(("", "", "P-2601", "P-2604"))
    fare = _price(random, 150, 900)
    lines = [
        Line(start, "travel", fare, "铁路客运", _receipt(random), project=project),
        Line(end, "travel", fare, "铁路客运", _receipt(random), project=project),
        Line(
            end,
            "lodging",
            nights * _price(random, 260, 520),
            random.choice(HOTELS),
            _receipt(random),
            project=project,
        ),
        Line(end, "allowance", (nights + 1) * 10_000, project=project),
    ]
    return Claim(number, by, EMPLOYEE, f"{city}出差{nights + 1}天", tuple(lines))


def _abroad(random: Random, number: str) -> Claim:
    """A hotel in another currency, and a train at home."""
    currency, hotel, price, purpose = random.choice(ABROAD)
    amount = price * random.randint(2, 4)
    rate = RATES[currency]
    gross = Money.rounded(amount * Decimal(rate), CURRENCY).minor
    paid = Money.rounded(Decimal(amount), currency).amount
    start = _day(random)
    lines = (
        Line(start, "lodging", gross, hotel, original=(paid, currency, rate)),
        Line(start, "travel", _price(random, 60, 300), "铁路客运", _receipt(random)),
    )
    return Claim(number, _staff(random), EMPLOYEE, purpose, lines)


def _dinner(random: Random, number: str) -> Claim:
    """Sales entertains customers, more than its budget allows."""
    line = Line(
        _day(random),
        "entertainment",
        _price(random, 600, 2_600),
        random.choice(RESTAURANTS),
        _receipt(random),
    )
    return Claim(number, _of(random, "SALES"), EMPLOYEE, "客户接待", (line,))


def _card(random: Random, number: str) -> Claim:
    """A purchase with a company card."""
    card = random.choice(CARDS)
    category, merchant = random.choice(
        (("office", "文澜办公用品"), ("lodging", random.choice(HOTELS)))
    )
    line = Line(_day(random), category, _price(random, 80, 4_800), merchant, _receipt(random))
    return Claim(number, card, CARD, "公司卡消费", (line,), payee=card.id)


def _refund(random: Random, number: str) -> Claim:
    """A hotel night that was not needed after all."""
    card = random.choice(CARDS)
    line = Line(_day(random), "lodging", -_price(random, 200, 900), random.choice(HOTELS))
    return Claim(number, card, CARD, "酒店退订", (line,), payee=card.id)


def _invoice(random: Random, number: str) -> Claim:
    """A supplier's invoice, handed in by whoever ordered."""
    supplier, merchant, category, purpose = random.choice(SUPPLIERS)
    line = Line(_day(random), category, _price(random, 800, 15_000), merchant, _receipt(random))
    return Claim(number, _staff(random), SUPPLIER, purpose, (line,), payee=supplier)


def _large(random: Random, number: str) -> Claim:
    """So much that the managing director decides."""
    supplier, merchant, category, purpose = SUPPLIERS[random.choice((1, 3))]
    line = Line(_day(random), category, _price(random, 20_500, 46_000), merchant, _receipt(random))
    return Claim(number, _of(random, "RND"), SUPPLIER, purpose, (line,), payee=supplier)


def _late(random: Random, number: str) -> Claim:
    """An expense of the month that is closed already."""
    sound = _everyday(random, number)
    day = date(2026, 9, random.randint(20, 30))
    return replace(sound, lines=tuple(replace(line, day=day) for line in sound.lines))


def _shared(random: Random, number: str) -> Claim:
    """One conference, three departments."""
    day, receipt = _day(random), _receipt(random)
    lines = tuple(
        Line(day, "conference", _price(random, 400, 1_900), "星海会展服务", receipt, center)
        for center in ("SALES", "RND", "HR")
    )
    return Claim(number, _staff(random), EMPLOYEE, "行业年会", lines)


def _donation(random: Random, number: str) -> Claim:
    """A category that no account was mapped to: posting has to say so."""
    line = Line(_day(random), "donation", _price(random, 500, 1_400), "乡村图书计划")
    return Claim(number, _of(random, "HR"), EMPLOYEE, "公益捐赠", (line,))


def _chief(random: Random, number: str) -> Claim:
    """The managing director has no manager who could approve."""
    line = Line(_day(random), "travel", _price(random, 1_800, 2_600), "南北航空", _receipt(random))
    return Claim(number, PEOPLE[0], EMPLOYEE, "总部会议", (line,))


MIX: Final[dict[Story, int]] = {
    _trip: 110,
    _abroad: 20,
    _dinner: 36,
    _card: 70,
    _refund: 14,
    _invoice: 34,
    _large: 8,
    _late: 10,
    _shared: 10,
    _donation: 3,
    _chief: 1,
}
TWINS: Final = 4
FAULTS: Final = (
    (("成本中心", "MKT"),),
    (("成本中心", "MKT"),),
    (("成本中心", ""),),
    (("报销人", "E9999"),),
    (("费用类别", "gifts"),),
    (("项目", "P-9999"),),
    (("单据合计", "8888.00"),),
    (("税额", "0.01"),),
    (("价税合计", "一百二十元"),),
    (("价税合计", "128.805"),),
    (("日期", "2026-10-32"),),
    (("日期", "2062-10-12"),),
    (("原币金额", "100.00"), ("原币", "USD"), ("汇率", "")),
    (("原币金额", "100.00"), ("原币", "USX"), ("汇率", "7.1")),
    (("支付方式", "现金"),),
)


def main() -> None:
    """Write both files beside this module."""
    (HERE / "month.csv").write_text(written_month(month()), encoding="utf-8")
    text = written_organisation(organisation(), TITLE)
    (HERE / "organisation.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
