"""Random orders for compute: holders ask, issuers serve or are silent, both close and dispute."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ledger import redemption_operations as ops
from ledger.codec import encode_payload
from ledger.economy.redemption import Receipt, order_id, receipt_hash
from ledger.operations import Operation
from ledger.transaction import Input
from tests.economy.model import panel_of
from tests.economy.model_values import OPEN, Ask
from tests.economy.stage import ACCOUNTS, ISSUERS, Stage
from tests.ledger.world import COIN, key, lock_of

SOON = 40
"""Periods in which the windows of most orders end."""
CERTIFICATE = bytes([7]) * 32


class Redeeming:
    """What one stream tries."""

    def __init__(self, stage: Stage, rng: Random) -> None:
        self.stage, self.rng, self.model = stage, rng, stage.model

    def act(self) -> None:
        """As a rule what leads some open order on."""
        states = sorted(item.state for item in self.model.asks.values() if item.state in OPEN)
        acts: tuple[Callable[[], None], ...] = (self.redeem, self.cancel, self.close)
        if states and self.rng.random() < 0.8:
            acts = self._next(self.rng.choice(states))
        self.rng.choice(acts)()

    def _next(self, state: str) -> tuple[Callable[[], None], ...]:
        return {
            "queued": (self.cancel, self.redeem, self.redeem),
            "requested": (*(self.accept,) * 6, self.cancel),
            "accepted": (self.get_ready,),
            "ready": (*(self.post,) * 3, self.close),
            "active": (*(self.post,) * 5, self.close),
            "closing": (self.dispute, self.dispute, self.post),
            "disputed": (*(self.rule,) * 5, self.post),
        }[state]

    def redeem(self) -> None:
        """Of a commitment of the coin's issuer, as a rule."""
        rng, period = self.rng, self.model.times.period
        owner, name = rng.choice(ACCOUNTS), rng.choice(ISSUERS)
        places = sorted(place for place in self.model.commitments if place[0] == name)
        live = [place for place in places if self.model.is_promised(place)]
        places = live if live and rng.random() < 0.9 else places
        place = rng.choice(places) if places and rng.random() < 0.97 else (name, "c9")
        amount = rng.choice((9_999, 10_000, COIN // 3, COIN, 4 * COIN, 12 * COIN, 40 * COIN))
        coin = self.stage.coin(owner, name, amount)
        if coin is None:
            return
        lead = self.model.times.accept + period
        start = self.model.clock + lead + rng.choice((-1, 0, 0, 1, 90_000, 600_000))
        end = (start // period + rng.choice((0, 1, 1, 2, 5, SOON, 170))) * period
        end += rng.random() < 0.02
        queue = rng.choice((0, 0, self.model.clock, start - lead, start - lead + 1))
        session = f"session/{self.stage.actions}"
        work = rng.choice(("inference",) * 9 + ("training", "video"))
        asked = ops.Redeem(
            *(*place, work, amount, key(session).public, lock_of(owner)),
            *(max(0, start), end, max(0, queue)),
        )
        self._ask(asked, owner, coin, session)
        if rng.random() < 0.1:
            again = self.stage.coin(owner, name, amount)
            if again is not None:
                self._ask(asked, owner, again, session)

    def crowd(self) -> None:
        """All hours of one commitment are asked for, by some who wait for them."""
        rng, period = self.rng, self.model.times.period
        place, work = ("iss0", "capacity-iss0"), "inference"
        owner, amount = rng.choice(ACCOUNTS), rng.choice((COIN // 4, COIN, 3 * COIN))
        coin = self.stage.coin(owner, place[0], amount)
        if coin is None:
            return
        start = self.model.clock + self.model.times.accept + rng.choice((4, 6, 8)) * period
        end = (start // period + rng.choice((1, 2))) * period
        session = f"session/{self.stage.actions}"
        asked = ops.Redeem(
            *(*place, work, amount, key(session).public, lock_of(owner)),
            *(start, end, self.model.clock + 3 * period),
        )
        self._ask(asked, owner, coin, session)

    def _ask(self, asked: ops.Redeem, owner: str, coin: Input, session: str) -> None:
        order = order_id(self.stage.world.chain_id, encode_payload(asked))
        place = (asked.issuer, asked.commitment)
        window = (asked.start_by_ms, asked.end_ms, asked.queue_until_ms)
        self.stage.act(
            asked,
            lambda: self.model.redeem(
                order, owner, place, asked.workload, asked.amount, session, *window
            ),
            spends=(owner, coin, asked.amount),
        )

    def some(self, *states: str) -> tuple[bytes, Ask] | None:
        """An order, as a rule in one of these states, and not always of those that there are."""
        found = sorted(self.model.asks)
        fitting = [order for order in found if self.model.asks[order].state in states]
        if fitting and self.rng.random() < 0.9:
            found = fitting
        if not found:
            return None
        order = self.rng.choice(found)
        return order, self.model.asks[order]

    def issuer_of(self, item: Ask) -> str:
        return item.place[0] if self.rng.random() < 0.97 else self.rng.choice(ISSUERS)

    def role(self, item: Ask, role: str) -> str:
        """The key of its issuer, at times another."""
        held = self.model.licences[item.place[0]].keys
        return held[role] if self.rng.random() < 0.95 else held["treasury"]

    def cancel(self) -> None:
        found = self.some("queued", "requested")
        if found is not None:
            order, item = found
            name = self.issuer_of(item)
            signer = item.session if self.rng.random() < 0.9 else self.role(item, "operations")
            self._does(
                ops.CancelRedemption(name, order, key(signer).public),
                lambda: self.model.cancel(order, name, signer),
                signer,
            )

    def accept(self) -> None:
        found = self.some("requested")
        if found is not None:
            order, item = found
            name, signer = self.issuer_of(item), self.role(item, "operations")
            self._does(
                ops.AcceptRedemption(name, order, key(signer).public),
                lambda: self.model.accept(order, name, signer),
                signer,
            )

    def get_ready(self) -> None:
        found = self.some("accepted")
        if found is not None:
            order, item = found
            name, signer = self.issuer_of(item), self.role(item, "operations")
            endpoint = "here:1" if self.rng.random() < 0.95 else ""
            self._does(
                ops.ReadyRedemption(name, order, key(signer).public, endpoint, CERTIFICATE),
                lambda: self.model.get_ready(order, name, signer, endpoint),
                signer,
            )

    def post(self) -> None:
        """More than before as a rule, at times all that is left."""
        found = self.some("ready", "active", "closing", "disputed")
        if found is None:
            return
        (order, item), rng = found, self.rng
        name, signer = self.issuer_of(item), self.role(item, "metering")
        more = rng.choice((0, 1, 7_777, COIN // 9, COIN // 2, item.left, item.left + 1))
        number = item.number + rng.choice((0, 1, 1, 1, 1, 5))
        used = max(0, item.used + rng.choice((-1, 0, 50_000, 2 * more)))
        delivered = max(1, item.burned + more)
        session = item.session if rng.random() < 0.95 else "session/of-nobody"
        receipt = Receipt(order, number, delivered, used, CERTIFICATE)
        holder = key(session)
        signature = holder.sign(receipt_hash(self.stage.world.chain_id, receipt))
        self._does(
            ops.PostReceipt(name, key(signer).public, receipt, holder.public, signature),
            lambda: self.model.post(order, name, signer, session, (number, delivered, used)),
            signer,
        )

    def close(self) -> None:
        found = self.some("ready", "active")
        if found is not None:
            order, item = found
            name = self.issuer_of(item)
            signer = item.session if self.rng.random() < 0.6 else self.role(item, "metering")
            self._does(
                ops.CloseRedemption(name, order, key(signer).public),
                lambda: self.model.close(order, name, signer),
                signer,
            )

    def dispute(self) -> None:
        found = self.some("closing")
        if found is None:
            return
        (order, item), rng = found, self.rng
        name = self.issuer_of(item)
        signer = item.session if rng.random() < 0.5 else self.role(item, "metering")
        claimed = item.burned
        if signer != item.session or rng.random() < 0.1:
            claimed += rng.choice((0, 1, item.left // 2, item.left, item.left + 1))
        elif rng.random() < 0.3:
            claimed = rng.randrange(item.burned + 1)
        amount, owner, paid = rng.choice((10_000, COIN)), rng.choice(ACCOUNTS), rng.choice(ISSUERS)
        coin = self.stage.coin(owner, paid, amount)
        if coin is None:
            return
        groups = {attestor: self.model.groups[attestor] for attestor in self.model.attestors}
        panel = panel_of(groups, set(), self.stage.world.state.head.hash + order)
        operation = ops.DisputeRedemption(
            *(name, order, key(signer).public, claimed, coin.asset, amount, lock_of(owner))
        )
        self.stage.act(
            operation,
            lambda: self.model.dispute(order, name, signer, claimed, owner, paid, amount, panel),
            spends=(owner, coin, amount),
            signers=[signer],
        )

    def rule(self) -> None:
        """A member of the panel as a rule, of some dispute or of none."""
        found = self.some("disputed")
        if found is None:
            return
        order, rng = found[0], self.rng
        quarrel = self.model.quarrels.get(order)
        seats = quarrel.panel if quarrel is not None and rng.random() < 0.9 else ()
        name = rng.choice(seats or sorted(self.model.groups))
        upheld, signer = rng.random() < 0.6, f"attestor/{name}"
        self._does(
            ops.RuleRedemption(name, key(signer).public, order, upheld),
            lambda: self.model.rule_order(name, order, upheld=upheld),
            signer,
        )

    def _does(self, operation: Operation, allowed: Callable[[], bool], signer: str) -> None:
        self.stage.act(operation, allowed, signers=[signer])
