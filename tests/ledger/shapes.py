"""Any value that the shape of a struct allows: strategies made from the types of its fields."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args, get_origin

import msgspec
from hypothesis import strategies as st
from msgspec import Meta

from ledger.codec import UINT_MAX, Wire

TEXTS = st.from_regex(r"\A[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")
"""Slugs, which are names for people as well."""
ITEMS_MAX = 3
"""In lists whose shape allows more."""
BYTES_MAX = 99


@cache
def any_of(kind: type[Wire], int_max: int = UINT_MAX) -> st.SearchStrategy[Any]:
    """Structs of this kind; integers up to `int_max` where their shape allows more."""
    fields = msgspec.structs.fields(kind)
    return st.builds(kind, **{item.name: _value(item.type, int_max) for item in fields})


def _value(kind: Any, int_max: int) -> st.SearchStrategy[Any]:
    metas = getattr(kind, "__metadata__", ())
    base, meta = (kind.__origin__, metas[0]) if metas else (kind, Meta())
    if get_origin(base) is tuple:
        least = meta.min_length or 0
        most = min(meta.max_length or ITEMS_MAX, max(least, ITEMS_MAX))
        items = _value(get_args(base)[0], int_max)
        return st.lists(items, min_size=least, max_size=most).map(tuple)
    if base is bytes:
        most = min(meta.max_length or BYTES_MAX, BYTES_MAX)
        return st.binary(min_size=meta.min_length or 0, max_size=most)
    if base is str:
        return TEXTS
    if base is bool:
        return st.booleans()
    if base is int:
        least = meta.ge if meta.ge is not None else (meta.gt or 0) + 1
        limits = [meta.le, None if meta.lt is None else meta.lt - 1, int_max]
        return st.integers(int(least), int(min(item for item in limits if item is not None)))
    return any_of(base, int_max)
