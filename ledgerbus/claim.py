"""`ledgerbus claim show`: everything the services know about one claim, as one story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from ledgerbus.calls import Services

Document = dict[str, Any]


async def find_claim(running: Services, name: str) -> str:
    """The id of the claim with this id or source key; an error when there is none, or several."""
    try:
        return str(UUID(name))
    except ValueError:
        pass
    found = [item async for item in running.items("claims", "/v1/claims", source_key=name)]
    ids = {str(item["claim_id"]) for item in found}
    if len(ids) == 1:
        return ids.pop()
    raise CommandError(
        f"no claim is called '{name}'" if not ids else f"{len(ids)} claims are called '{name}'",
        why="claims knows it under no source"
        if not ids
        else ", ".join(f"{item['claim_id']} of {item['source']}" for item in found),
        fix="see `ledgerbus tail --type claims.claim-refused.v1`; refused claims have no id"
        if not ids
        else "use the id of the one you mean",
        code=Exit.NOT_FOUND if not ids else Exit.CONFLICT,
    )


async def traces_of(running: Services, claim: str) -> set[str]:
    """The traces that the claim's journey names."""
    journey = await running.find("claims", f"/v1/claims/{claim}/journey")
    return {step["trace_id"] for step in (journey or {}).get("items", []) if step.get("trace_id")}
