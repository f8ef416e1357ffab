"""Waits before dialling again, and the refusals that are counted meanwhile."""

from __future__ import annotations

import logging

import pytest

from p2p.backoff import Backoff
from p2p.handshake import RefusedReason
from p2p.refusals import Failure, Refusals


def test_waits_double_up_to_the_cap() -> None:
    """Without jitter 0.1, 0.2, … 10, 10; reset starts over."""
    backoff = Backoff(0.1, 10.0, lambda: 0.0)
    waits = [backoff.wait_s() for _ in range(9)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    backoff.reset()
    assert backoff.wait_s() == pytest.approx(0.1)


def test_jitter_shortens_by_up_to_half() -> None:
    """The largest draw halves a wait; the doubling itself does not depend on chance."""
    backoff = Backoff(1.0, 4.0, lambda: 1.0)
    assert [backoff.wait_s() for _ in range(4)] == pytest.approx([0.5, 1.0, 2.0, 2.0])


def test_refusals_are_counted_and_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred refusals in a second are one line; the next line says how many were left out."""
    now = 0.0
    refusals = Refusals(lambda: now)
    with caplog.at_level(logging.INFO):
        for _ in range(100):
            refusals.note(Failure.TLS_REFUSED, "127.0.0.1:1")
        refusals.note(RefusedReason.FULL, "127.0.0.1:2")
        now = 1.5
        refusals.note(Failure.TLS_REFUSED, "127.0.0.1:3", "why")
    assert [record.getMessage() for record in caplog.records] == [
        "tls_refused who=127.0.0.1:1 left_out=0 detail=",
        "full who=127.0.0.1:2 left_out=0 detail=",
        "tls_refused who=127.0.0.1:3 left_out=99 detail=why",
    ]
    counts = refusals.counts()
    assert counts["tls_refused"] == 101
    assert counts["full"] == 1
    assert counts["wrong_chain"] == 0
