"""What an engine sends its primary again, and when it says that it suspects it."""

from __future__ import annotations

from ledger.reasons import Invalid, Reason
from p2p.gossip import read_batch
from p2p.wire import RESENT
from tests.node.test_engine import Bench, payment

T_MS = 2_000


def pass_ms(bench: Bench, milliseconds: int) -> None:
    bench.clock_ms += milliseconds
    bench.engine.tick(bench.now)


def resent(bench: Bench) -> list[list[bytes]]:
    return [list(read_batch(raw)) for to, number, raw in bench.sent if (to, number) == (0, RESENT)]


def test_what_waits_for_t_is_sent_to_the_primary_again() -> None:
    """Every T, and not before it waited for T; nothing once it is refused."""
    bench = Bench()
    tx = payment()
    bench.intake.admit(tx, bench.now)
    pass_ms(bench, T_MS - 1)
    assert resent(bench) == []
    pass_ms(bench, 1)
    assert resent(bench) == [[tx.raw]]
    pass_ms(bench, T_MS)
    assert resent(bench) == [[tx.raw]] * 2
    bench.mempool.reject(tx, Invalid(Reason.EXPIRED))
    pass_ms(bench, T_MS)
    assert len(resent(bench)) == 2


def test_nothing_is_sent_to_a_primary_without_a_link() -> None:
    """A lost link is no proof of having heard."""
    bench = Bench()
    bench.engine.connected(frozenset((1, 2, 3)), bench.now)
    bench.intake.admit(payment(), bench.now)
    for _ in range(4):
        pass_ms(bench, T_MS)
    assert resent(bench) == []


def test_a_primary_that_passes_over_is_suspected() -> None:
    """Empty blocks go by after the second re-send: the ninth is too many, T is over."""
    bench = Bench()
    bench.intake.admit(payment(), bench.now)
    for _ in range(2):
        pass_ms(bench, T_MS)
    for _ in range(7):
        pass_ms(bench, 300)
        bench.decide(bench.block()[0])
    assert bench.engine.replica.state.distrust == ""
    pass_ms(bench, 300)
    bench.decide(bench.block()[0])
    pass_ms(bench, 1)
    assert "passes over" in bench.engine.replica.state.distrust
    assert bench.engine.replica.state.member in bench.engine.replica.state.suspects
