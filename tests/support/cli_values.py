"""Small claims files as each layout reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerbus.claimfile import ClaimFile, FileClaim
from ledgerbus.layout import Layout, load_layout

if TYPE_CHECKING:
    from pathlib import Path

BIRMINGHAM = (
    "TRANS DATE,TRANS VAT DESC,ORIGINAL GROSS AMT,ORIGINAL CUR,BILLING GROSS AMT,BILLING CUR CODE,"
    "MERCHANT NAME,CARD NUMBER,TRANS CAC CODE 1,TRANS CAC DESC 1,TRANS CAC CODE 2,"
    "TRANS CAC DESC 2,TRANS CAC CODE 3,Directorate,source_file\n"
)
BARNET = (
    "FIN.TRANSACTION DATE,FIN.POSTING DATE,FIN.TRANSACTION AMOUNT,MCH.MERCHANT NAME,MCH.CITY NAME,"
    "FIN.ORIGINAL CURRENCY AMOUNT,FIN.ORIGINAL ISO CURRENCY CODE SYMBOL,FIN.INET CONVERSION\n"
)
CANADA = (
    "ref_number,name,purpose_en,start_date,end_date,destination_en,airfare,other_transport,"
    "lodging,meals,other_expenses,total,owner_org,owner_org_title\n"
)
BRAZIL = (
    "applicant_id,cnpj_cpf,document_number,document_type,document_value,installment,issue_date,"
    "leg_of_the_trip,month,passenger,remark_value,subquota_description,subquota_number,supplier,"
    "total_net_value,year\n"
)


def birmingham(**cells: str) -> str:
    """One row of a card file; name what differs from an ordinary purchase of 72.61 pounds."""
    row = {
        "day": "2017-01-03",
        "vat": "VR",
        "original": "72.61",
        "original_currency": "GBP",
        "billed": "72.61",
        "currency": "GBP",
        "merchant": "station kiosk",
        "card": "*5770",
        "account": "K020",
        "account_name": "Vehicle Fuel",
        "center": "RV12N",
        "center_name": "Day Centre",
        "third": "A00",
        "directorate": "Adults",
        "file": "january-2017",
    }
    assert not cells.keys() - row.keys()
    return ",".join((row | cells).values()) + "\n"


def file_of(folder: Path, text: str | bytes, layout: str | Layout) -> ClaimFile:
    """The text as a file under a layout."""
    path = folder / "claims.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return ClaimFile(path, load_layout(layout) if isinstance(layout, str) else layout)


def only(claims: ClaimFile) -> FileClaim:
    """The one claim of a file."""
    (claim,) = claims
    return claim
