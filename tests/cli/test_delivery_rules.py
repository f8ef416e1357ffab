"""What either side of a session may do: counts, meters, receipts, and who loses how much."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.delivery import rules
from cli.delivery.rules import (
    Broken,
    Fault,
    HolderSide,
    ProviderSide,
    SignedReceipt,
    Tick,
)
from ledger.crypto import SigningKey
from ledger.economy.redemption import receipt_hash
from tests.cli.delivery_world import SESSION, TERMS


def digests(first: int, count: int) -> tuple[bytes, ...]:
    return tuple(unit.to_bytes(32, "big") for unit in range(first, first + count))


def shown(side: ProviderSide, count: int) -> Tick:
    return Tick(side.units, digests(side.units - count, count), side.meter_root, side.microhours)


def ticked(side: ProviderSide, count: int) -> ProviderSide:
    return rules.worked(side, digests(side.units, count), side.microhours + 1)


def fault_of(broken: pytest.ExceptionInfo[Broken]) -> Fault:
    return broken.value.fault


def one_tick(count: int = 40) -> tuple[ProviderSide, Tick, SignedReceipt]:
    side = ticked(ProviderSide(), count)
    tick = shown(side, count)
    return side, tick, rules.sign(HolderSide(), TERMS, tick, SESSION)


@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["both", "provider", "holder"]))))
def test_nobody_loses_more_than_a_tick(steps: list[tuple[int, str]]) -> None:
    """Whatever dies between work, receipt and its arrival: the holder's receipts never run ahead of
    what it was shown, the provider never works two ticks without one, and both go on together."""
    provider, holder = ProviderSide(), HolderSide()
    stored: SignedReceipt | None = None
    for count, dies in steps:
        count = min(count, TERMS.units - provider.units)
        if not count:
            break
        receipted = provider.signed.units if provider.signed is not None else 0
        assert provider.units == receipted  # nothing more is done before what was shown is
        provider = ticked(provider, count)
        lost = provider.units - (stored.units if stored else 0)
        assert lost == count
        if dies == "provider":
            provider = rules.resumed(stored)
            continue
        tick = shown(provider, count)
        rules.check_tick(holder, TERMS, tick)
        holder = HolderSide(rules.sign(holder, TERMS, tick, SESSION))
        assert holder.units <= provider.units
        if dies == "holder":  # its receipt is on its disk and comes with the next connection
            stored = holder.signed
            provider = rules.resumed(stored)
            continue
        assert holder.signed is not None
        provider = rules.received(provider, TERMS, holder.signed)
        stored = provider.signed
        assert provider.delivered == holder.delivered == TERMS.delivered(holder.units)


def test_all_units_bring_the_whole_amount_and_no_more() -> None:
    odd = replace(TERMS, amount=100_003)
    assert odd.delivered(odd.units) == 100_003
    assert odd.delivered(odd.units - 1) < 100_003
    assert odd.delivered(odd.units + 1) == 100_003


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"units": 41}, Fault.WRONG_COUNT),
        ({"units": 0, "digests": ()}, Fault.WRONG_COUNT),
        ({"digests": digests(1, 40)}, Fault.WRONG_METER),
        ({"meter_root": bytes(32)}, Fault.WRONG_METER),
    ],
)
def test_a_tick_that_does_not_add_up_is_not_signed(
    changes: dict[str, object], fault: Fault
) -> None:
    _, tick, _ = one_tick()
    with pytest.raises(Broken) as broken:
        rules.check_tick(HolderSide(), TERMS, replace(tick, **changes))  # type: ignore[arg-type]
    assert fault_of(broken) is fault


def test_a_tick_is_signed_once() -> None:
    """Shown again, it does not go on from what was signed."""
    _, tick, signed = one_tick()
    with pytest.raises(Broken) as broken:
        rules.check_tick(HolderSide(signed), TERMS, tick)
    assert fault_of(broken) is Fault.WRONG_COUNT


def test_more_than_the_order_is_not_signed() -> None:
    side = ticked(ProviderSide(), TERMS.units + 1)
    with pytest.raises(Broken) as broken:
        rules.check_tick(HolderSide(), TERMS, shown(side, TERMS.units + 1))
    assert fault_of(broken) is Fault.WRONG_COUNT


def test_device_time_does_not_run_back() -> None:
    side, _, signed = one_tick()
    later = shown(ticked(replace(side, microhours=0), 5), 5)
    with pytest.raises(Broken) as broken:
        rules.check_tick(HolderSide(signed), TERMS, replace(later, microhours=0))
    assert fault_of(broken) is Fault.WRONG_METER


def resigned(signed: SignedReceipt, key: SigningKey = SESSION, **changes: object) -> SignedReceipt:
    receipt = type(signed.receipt)(
        **{
            name: changes.get(name, getattr(signed.receipt, name))
            for name in signed.receipt.__struct_fields__
        }
    )
    return replace(
        signed, receipt=receipt, signature=key.sign(receipt_hash(TERMS.chain_id, receipt))
    )


def test_receipts_that_a_provider_does_not_take() -> None:
    """Of another order, another key, for other units, of another meter, with an old number."""
    side, _, signed = one_tick()
    stranger = SigningKey(bytes([9]) * 32)
    for wrong, fault in (
        (resigned(signed, order=bytes(32)), Fault.WRONG_ORDER),
        (resigned(signed, key=stranger), Fault.WRONG_SIGNATURE),
        (resigned(signed, delivered=1), Fault.WRONG_RECEIPT),
        (resigned(signed, number=0), Fault.WRONG_RECEIPT),
        (resigned(signed, meter_root=bytes(32)), Fault.WRONG_METER),
        (replace(resigned(signed, delivered=TERMS.delivered(39)), units=39), Fault.WRONG_METER),
    ):
        with pytest.raises(Broken) as broken:
            rules.received(side, TERMS, wrong)
        assert fault_of(broken) is fault
    taken = rules.received(side, TERMS, signed)
    with pytest.raises(Broken) as broken:
        rules.received(taken, TERMS, signed)
    assert fault_of(broken) is Fault.WRONG_RECEIPT
