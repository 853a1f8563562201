"""Cursor pagination over a stable sort."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from chassis.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """How many items, and after which sort key (the values of its columns, as text)."""

    limit: int
    after: list[str] | None


def page_request(
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> PageRequest:
    """Read `limit` and the opaque `cursor` of a request."""
    if cursor is None:
        return PageRequest(limit, None)
    try:
        after = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        after = None
    if not isinstance(after, list) or not all(isinstance(part, str) for part in after):
        raise Problem(422, "CURSOR_INVALID", "use the `next` of the page before, unchanged")
    return PageRequest(limit, after)


PageArgs = Annotated[PageRequest, Depends(page_request)]


class Paged(BaseModel, Generic[T]):
    """One page: its items, and the cursor of the next page if there is one."""

    items: list[T]
    next: str | None = None

    @classmethod
    def of(
        cls, items: Sequence[T], page: PageRequest, *, key: Callable[[T], list[Any]]
    ) -> Paged[T]:
        """A page of at most `page.limit` items; one item more tells that another page follows."""
        shown = list(items[: page.limit])
        if len(items) <= page.limit or not shown:
            return cls(items=shown)
        after = json.dumps([str(part) for part in key(shown[-1])])
        return cls(items=shown, next=base64.urlsafe_b64encode(after.encode()).decode())
