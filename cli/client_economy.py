"""The routes of the economy, for `cli.client`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from cli import calls
from cli.calls import all_items
from node.api import economy_schemas as schemas
from node.api import redemption_schemas, standard_schemas
from node.api.schemas import Page

if TYPE_CHECKING:
    from cli.client import Client


class EconomyClient:
    """A client's questions about licences, capacity, bonds, orders, redemption."""

    def __init__(self, client: Client) -> None:
        self._ask = client.ask

    def licences(self) -> list[schemas.LicenceObject]:
        return self._ask(calls.licences()).items

    def licence(self, licence: str) -> schemas.LicenceObject:
        return self._ask(calls.licence(licence))

    def attestors(self) -> list[schemas.Attestor]:
        return self._ask(calls.attestors()).items

    def commitments(
        self, *, issuer: str | None = None, cursor: str | None = None
    ) -> Page[schemas.Commitment]:
        return self._ask(calls.commitments(issuer=issuer, cursor=cursor))

    def all_commitments(self, issuer: str | None = None) -> Iterator[schemas.Commitment]:
        """Page after page; there are at most a thousand."""
        return all_items(lambda cursor: self.commitments(issuer=issuer, cursor=cursor))

    def commitment(self, issuer: str, commitment: str) -> schemas.Commitment:
        return self._ask(calls.commitment(issuer, commitment))

    def challenges(self) -> list[schemas.Challenge]:
        return self._ask(calls.challenges()).items

    def backing(self, issuer: str) -> schemas.Backing:
        return self._ask(calls.backing(issuer))

    def orders(self) -> list[schemas.Order]:
        return self._ask(calls.compliance()).items

    def audits(self) -> schemas.Audits:
        return self._ask(calls.audits())

    def opening(self, period: int, issuer: str) -> schemas.Opening:
        """With all devices that are drawn, page after page."""
        page = self._ask(calls.opening(period, issuer))
        drawn = list(page.drawn)
        while page.next_cursor is not None:
            page = self._ask(calls.opening(period, issuer, cursor=page.next_cursor))
            drawn += page.drawn
        return msgspec.structs.replace(page, drawn=drawn)

    def quote_mint(self, issuer: str, amount: int) -> schemas.MintQuote:
        """What a mint would be told now."""
        return self._ask(calls.quote_mint(schemas.MintQuoteForm(issuer=issuer, amount=str(amount))))

    def standards(self) -> standard_schemas.Standards:
        return self._ask(calls.standards())

    def past_standards(self) -> Iterator[standard_schemas.Standard]:
        """The oldest first, page after page."""
        return all_items(lambda cursor: self._ask(calls.past_standards(cursor=cursor)))

    def quote_standard(
        self, form: standard_schemas.StandardQuoteForm
    ) -> standard_schemas.StandardQuote:
        """What a proposal of the next version would be told now."""
        return self._ask(calls.quote_standard(form))

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
        return self._ask(
            calls.redemptions(
                issuer=issuer,
                state=state,
                commitment=commitment,
                prefix=prefix,
                is_open=is_open,
                cursor=cursor,
            )
        )

    def open_redemptions(
        self, issuer: str | None = None
    ) -> Iterator[redemption_schemas.Redemption]:
        """Orders that have not ended, page after page."""
        return all_items(
            lambda cursor: self.redemptions(issuer=issuer, is_open=True, cursor=cursor)
        )

    def redemption(self, order: str) -> redemption_schemas.Redemption:
        return self._ask(calls.redemption(order))

    def quote_redeem(
        self, form: redemption_schemas.RedeemQuoteForm
    ) -> redemption_schemas.RedeemQuote:
        """What an order would be told now, and which commitment serves it best."""
        return self._ask(calls.quote_redeem(form))
