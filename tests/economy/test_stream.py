"""Random actions on rules and model: same answers, same figures, and nothing but what is backed."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.economy.stream import Stream

ACTIONS = 3_500
"""Of each seed; `tests/cli/test_verify_states.py` runs 6,000 more of such streams."""
SEEDS = range(4)
OFTEN = (
    "mint burn attest commit pledge-devices amend challenge rule seal-nonce reveal-nonce"
    " open-devices deposit-bond withdraw-bond admit suspend reinstate rotate-key freeze renew-order"
    " lift-order evidence end-epoch propose-standard withdraw-standard redeem cancel-redemption"
    " accept-redemption ready-redemption post-receipt close-redemption dispute-redemption"
    " rule-redemption"
)
REASONS = (
    "above_headroom not_healthy licence_inactive wrong_role_key wrong_version short_bond own_coin"
    " device_pledged overlapping_schedule unknown_class no_expiry frozen mint_frozen bad_schedule"
    " above_commitment low_deposit not_on_panel bad_period unknown_attestor above_mint_cap too_many"
    " no_panel not_drawn unknown_device already_final expired wrong_epoch bad_standard"
    " reference_falls cut_too_large step_open no_step"
    " no_free_hours bad_window low_amount redemption_exists unknown_commitment commitment_over"
    " unknown_redemption wrong_state bad_receipt stale_receipt above_order unknown_dispute"
    " replayed_operation"
)

_taken: dict[int, tuple[Counter[str], Counter[str]]] = {}


@pytest.mark.parametrize("seed", SEEDS)
def test_rules_and_model_agree(seed: int) -> None:
    """Random actions, about half of them forbidden: every answer is the model's, after every
    block every figure is, and every ten blocks the whole state is counted again."""
    stage = Stream(seed).run(ACTIONS)
    _taken[seed] = (stage.taken, stage.refused)


def test_nothing_was_left_untried() -> None:
    """All seeds together took every kind of action that the stream knows and met every refusal that
    matters: a stream that never mints would prove nothing about minting."""
    if len(_taken) < len(SEEDS):
        pytest.skip("the streams did not run in this process")
    taken = sum((item[0] for item in _taken.values()), Counter())
    refused = sum((item[1] for item in _taken.values()), Counter())
    assert not [name for name in OFTEN.split() if taken[name] < 5]
    assert not [name for name in REASONS.split() if not refused[name]]
