"""The story behind `redemption.json`: every state of an order, and what time brings.

Days last minutes. Orders are cancelled, lapse, wait, are served, never begun; devices are faster
than the standard, and the system drafts a step; four orders are ruled on and one panel is silent;
attestors fall silent until the coin is in deficit, where a receipt counts for less than it says,
and covered by nothing, and speak again; and at last the orders are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ledger import operations as ops
from ledger.economy.dispute import Dispute
from ledger.objects import load
from ledger.transaction import SignedTransaction
from tests.ledger.economy_world import lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.world import COIN, GROUPS, PANEL_GROUPS, PERIOD_MS, TIME_MS, World, make_genesis
from tests.vectors import redemption_refusals as refusals
from tests.vectors.economy_acts import MINUTE_MS, attest, commit
from tests.vectors.epoch_plan import Refusals, Step

HOLDERS = ("alice", "bob", "carol", "dave", "erin", "frank")
CONTESTED = ("bad", "more", "silent", "lost", "liar")
"""Sessions that end before a panel, by holder from bob on."""
CENT = COIN // 100


def make_world() -> RedemptionWorld:
    """Hours for ten days, half of them promised; minutes for days."""
    short = with_economy(
        make_genesis(accounts=HOLDERS, bond_coins=400, all_bonded=True),
        attestation_life_ms=12 * MINUTE_MS,
        contest_ms=2 * MINUTE_MS,
        cure_ms=15 * MINUTE_MS,
        accept_ms=MINUTE_MS,
        closing_ms=MINUTE_MS,
        tick_ms=1_000,
        forgive_ms=5 * MINUTE_MS,
        deposit_ppm=100_000,
        notice_ms=3 * MINUTE_MS,
    )
    return RedemptionWorld(lasting(short, 10))


def steps(world: RedemptionWorld) -> Iterator[Step]:
    """Every block of the story, which happens to `world`."""
    story = Story(world)
    yield from story.asking()
    yield from story.serving()
    yield from story.disputes()
    yield from story.deficit()
    yield from story.ending()


def nothing(_: World) -> Refusals:
    return []


class Story:
    """Orders by the name of their session."""

    def __init__(self, world: RedemptionWorld) -> None:
        self.world = world
        self.orders: dict[str, bytes] = {}

    def step(
        self,
        make: Callable[[], Sequence[SignedTransaction]],
        refused: Callable[[Story], Refusals] | None = None,
    ) -> Step:
        told = nothing if refused is None else lambda _: refused(self)
        return Step(30_000, lambda _: make(), told)

    def ask(
        self, owner: str, session: str, cents: int, *, start: int, end: int, queue_ms: int = 0
    ) -> SignedTransaction:
        """In periods since the beginning; `queue_ms` since then too."""
        asked = self.world.asks(
            cents * CENT,
            session,
            start_by_ms=TIME_MS + start * PERIOD_MS,
            end_ms=TIME_MS + end * PERIOD_MS,
            queue_until_ms=TIME_MS + queue_ms if queue_ms else 0,
        )
        self.orders[session] = self.world.id_of(asked)
        return self.world.redeems(asked, owner)

    def accept(self, *sessions: str) -> list[SignedTransaction]:
        return [self.world.accepts(self.orders[name]) for name in sessions]

    def ready(self, *sessions: str) -> list[SignedTransaction]:
        return [self.world.readies(self.orders[name]) for name in sessions]

    def post(self, session: str, number: int, cents: int, used: int = 0) -> SignedTransaction:
        """In `used` hundredths of an hour of one device, as many as the standard expects if 0."""
        hours = {"microhours": (used or cents) * CENT}
        receipt = self.world.receipt(self.orders[session], number, cents * CENT, **hours)
        return self.world.posts(receipt, session)

    def close(self, session: str, signer: str = "") -> SignedTransaction:
        return self.world.closes(self.orders[session], signer or session)

    def asking(self) -> Iterator[Step]:
        yield self.step(
            lambda: [
                self.ask("alice", "lapse", 100, start=4, end=6),
                self.ask("bob", "cancel", 50, start=4, end=6),
                self.ask("carol", "main", 200, start=4, end=6),
                self.ask("dave", "fail", 50, start=4, end=6),
                self.ask("erin", "block", 1_200, start=12, end=20),
                self.ask("frank", "idle", 50, start=4, end=6),
                commit(self.world, "extra", 0, "us-east"),
            ],
            refusals.after_asking,
        )
        yield self.step(
            lambda: [
                *self.accept("main", "fail", "idle"),
                self.world.cancels(self.orders["cancel"], "cancel"),
                self.ask("alice", "waits", 500, start=12, end=20, queue_ms=8 * PERIOD_MS),
                self.ask("bob", "late", 300, start=12, end=20, queue_ms=100_000),
            ],
            refusals.after_waiting,
        )
        yield self.step(
            lambda: [
                *self.ready("main", "idle"),
                self.world.cancels(self.orders["block"], "block"),
            ],
            refusals.after_readiness,
        )

    def serving(self) -> Iterator[Step]:
        yield self.step(lambda: [self.post("main", 1, 50, used=40)], refusals.after_receipt)
        yield self.step(
            lambda: [
                self.post("main", 3, 70, used=58),
                *self.accept("waits"),
                *(
                    self.ask(owner, session, 30, start=8, end=12)
                    for owner, session in zip(HOLDERS[1:], CONTESTED, strict=True)
                ),
            ]
        )
        yield self.step(lambda: [*self.accept(*CONTESTED), *self.ready("waits")])
        yield self.step(lambda: self.ready(*CONTESTED))
        yield self.step(
            lambda: [
                *(self.post(session, 1, 10) for session in CONTESTED),
                self.close("main", "val0/metering"),
            ],
            refusals.before_disputes,
        )
        yield self.step(lambda: [self.close(session) for session in CONTESTED], refusals.in_closing)

    def disputes(self) -> Iterator[Step]:
        yield self.step(self._disputes)
        yield self.step(lambda: self._words(0, 1), refusals.in_dispute)
        yield self.step(
            lambda: [*self._words(2), self.post("silent", 2, 11)], refusals.after_verdicts
        )
        yield self.step(list)

    def _disputes(self) -> list[SignedTransaction]:
        """By holders and by the issuer, each about what it had not signed."""
        made = []
        for owner, session in zip(HOLDERS[1:], CONTESTED, strict=True):
            by_issuer = session in ("more", "liar")
            made.append(
                self.world.disputes(
                    self.orders[session],
                    3 * CENT,
                    signer="val0/metering" if by_issuer else session,
                    claimed=20 * CENT if by_issuer else 0 if session == "bad" else None,
                    owner=owner,
                )
            )
        return made

    def _words(self, *seats: int) -> list[SignedTransaction]:
        """Two are upheld, two dismissed."""
        return [
            self.world.rules(
                self.orders[session], self.seat(session, seat), upheld=session in ("bad", "more")
            )
            for session in CONTESTED
            if session != "silent"
            for seat in seats
        ]

    def seat(self, session: str, place: int) -> str:
        held = load(self.world.state, Dispute, self.orders[session])
        assert held is not None
        return held.panel[place]

    def deficit(self) -> Iterator[Step]:
        """Hours fade from the fourteenth block on; nobody vouches for them any more in the 24th."""
        yield self.step(list)
        yield self.step(list)
        yield self.step(lambda: [self.post("waits", 1, 50)])
        yield self.step(lambda: [self.ask("alice", "poor", 20, start=14, end=16)])
        yield self.step(lambda: [*self.accept("poor"), self.post("waits", 2, 80)])
        yield self.step(lambda: self.ready("poor"), refusals.in_deficit)
        yield self.step(lambda: [self.post("waits", 3, 100), self.post("poor", 1, 5)])
        yield self.step(
            lambda: [self.post("waits", 4, 101), self.close("poor")], refusals.closing_in_deficit
        )
        yield self.step(lambda: [self.post("poor", 2, 20, used=30)])
        yield self.step(list)
        yield self.step(list, refusals.uncovered)
        yield self.step(list)
        yield self.step(self._speak_again, refusals.uncovered)
        yield self.step(list)
        yield self.step(lambda: [self.post("waits", 5, 102)])
        yield self.step(lambda: [self.post("waits", 6, 140)])

    def _speak_again(self) -> list[SignedTransaction]:
        """Of all hours, so that the coins in bonds count too."""
        return [
            attest(self.world, name, f"{issuer}/capacity-{issuer}", 900_000, number=number)
            for name in ("att-north", "att-south")
            for number, issuer in enumerate(f"val{index}" for index in range(4))
        ]

    def ending(self) -> Iterator[Step]:
        yield self.step(lambda: [self.close("waits")])
        yield self.step(
            lambda: [
                self.world.govern(
                    *(ops.RemoveAttestor(f"att-{group}", 1) for group in removed()),
                )
            ],
            refusals.without_a_panel,
        )
        for _ in range(130):
            yield self.step(list)


def removed() -> tuple[str, ...]:
    """All groups but two."""
    return (*GROUPS[2:], *PANEL_GROUPS)
