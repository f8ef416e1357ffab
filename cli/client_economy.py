"""The routes of the economy, for `cli.client`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import msgspec

from node.api import economy_schemas as schemas
from node.api import redemption_schemas, standard_schemas
from node.api.schemas import Page

if TYPE_CHECKING:
    from cli.client import Client


class EconomyClient:
    """A client's questions about licences, capacity, bonds, orders, redemption."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def licences(self) -> list[schemas.LicenceObject]:
        return self._client.get("/licences", Page[schemas.LicenceObject]).items

    def licence(self, licence: str) -> schemas.LicenceObject:
        return self._client.get(f"/licences/{quote(licence, safe='')}", schemas.LicenceObject)

    def attestors(self) -> list[schemas.Attestor]:
        return self._client.get("/attestors", Page[schemas.Attestor]).items

    def commitments(
        self, *, issuer: str | None = None, cursor: str | None = None
    ) -> Page[schemas.Commitment]:
        query = [f"issuer={quote(issuer, safe='')}"] if issuer is not None else []
        query += [f"cursor={quote(cursor, safe='')}"] if cursor is not None else []
        suffix = f"?{'&'.join(query)}" if query else ""
        return self._client.get(f"/commitments{suffix}", Page[schemas.Commitment])

    def all_commitments(self, issuer: str | None = None) -> Iterator[schemas.Commitment]:
        """Page after page; there are at most a thousand."""
        page = self.commitments(issuer=issuer)
        yield from page.items
        while page.next_cursor is not None:
            page = self.commitments(issuer=issuer, cursor=page.next_cursor)
            yield from page.items

    def commitment(self, issuer: str, commitment: str) -> schemas.Commitment:
        path = f"/commitments/{quote(issuer, safe='')}/{quote(commitment, safe='')}"
        return self._client.get(path, schemas.Commitment)

    def challenges(self) -> list[schemas.Challenge]:
        return self._client.get("/challenges", Page[schemas.Challenge]).items

    def backing(self, issuer: str) -> schemas.Backing:
        return self._client.get(f"/issuers/{quote(issuer, safe='')}/backing", schemas.Backing)

    def orders(self) -> list[schemas.Order]:
        return self._client.get("/compliance", Page[schemas.Order]).items

    def audits(self) -> schemas.Audits:
        return self._client.get("/audits", schemas.Audits)

    def opening(self, period: int, issuer: str) -> schemas.Opening:
        """With all devices that are drawn, page after page."""
        path = f"/audits/{period}/{quote(issuer, safe='')}"
        page = self._client.get(path, schemas.Opening)
        drawn = list(page.drawn)
        while page.next_cursor is not None:
            cursor = quote(page.next_cursor, safe="")
            page = self._client.get(f"{path}?cursor={cursor}", schemas.Opening)
            drawn += page.drawn
        return msgspec.structs.replace(page, drawn=drawn)

    def quote_mint(self, issuer: str, amount: int) -> schemas.MintQuote:
        """What a mint would be told now."""
        form = schemas.MintQuoteForm(issuer=issuer, amount=str(amount))
        return self._client.post("/quotes/mint", msgspec.json.encode(form), schemas.MintQuote)

    def standards(self) -> standard_schemas.Standards:
        return self._client.get("/standards", standard_schemas.Standards)

    def past_standards(self) -> Iterator[standard_schemas.Standard]:
        """The oldest first, page after page."""
        path = "/standards/history"
        page = self._client.get(path, Page[standard_schemas.Standard])
        yield from page.items
        while page.next_cursor is not None:
            cursor = quote(page.next_cursor, safe="")
            page = self._client.get(f"{path}?cursor={cursor}", Page[standard_schemas.Standard])
            yield from page.items

    def quote_standard(
        self, form: standard_schemas.StandardQuoteForm
    ) -> standard_schemas.StandardQuote:
        """What a proposal of the next version would be told now."""
        body = msgspec.json.encode(form)
        return self._client.post("/quotes/standard", body, standard_schemas.StandardQuote)

    def redemptions(
        self,
        *,
        issuer: str | None = None,
        state: str | None = None,
        commitment: str | None = None,
        prefix: str | None = None,
        is_open: bool = False,
        cursor: str | None = None,
    ) -> Page[redemption_schemas.Redemption]:
        """A page of orders; an empty one need not be the last."""
        path = redemptions_path(issuer, state, commitment, prefix, cursor, is_open=is_open)
        return self._client.get(path, Page[redemption_schemas.Redemption])

    def open_redemptions(
        self, issuer: str | None = None
    ) -> Iterator[redemption_schemas.Redemption]:
        """Orders that have not ended, page after page."""
        page = self.redemptions(issuer=issuer, is_open=True)
        yield from page.items
        while page.next_cursor is not None:
            page = self.redemptions(issuer=issuer, is_open=True, cursor=page.next_cursor)
            yield from page.items

    def redemption(self, order: str) -> redemption_schemas.Redemption:
        path = f"/orders/{quote(order, safe='')}"
        return self._client.get(path, redemption_schemas.Redemption)

    def quote_redeem(
        self, form: redemption_schemas.RedeemQuoteForm
    ) -> redemption_schemas.RedeemQuote:
        """What an order would be told now, and which commitment serves it best."""
        body = msgspec.json.encode(form)
        return self._client.post("/quotes/redeem", body, redemption_schemas.RedeemQuote)


def redemptions_path(
    issuer: str | None,
    state: str | None,
    commitment: str | None,
    prefix: str | None,
    cursor: str | None,
    *,
    is_open: bool = False,
) -> str:
    """The list of orders with the filters that are given."""
    query = {
        "issuer": issuer,
        "state": state,
        "commitment": commitment,
        "prefix": prefix,
        "open": "true" if is_open else None,
        "cursor": cursor,
    }
    given = {name: text for name, text in query.items() if text is not None}
    return f"/orders?{urlencode(given)}" if given else "/orders"
