"""Steps of the standard: proposed, withdrawn, taken or drafted when a period begins."""

from __future__ import annotations

from ledger.draft import Draft
from ledger.economy import step
from ledger.economy.standard import PastStandard, Standard
from ledger.economy.standard_draft import draft as draft_step
from ledger.economy.step import StandardStep, StepState
from ledger.economy.throughput import Throughput
from ledger.handlers.common import need_version
from ledger.operations import ProposeStandard, WithdrawStandard
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339


def propose(draft: Draft, operation: ProposeStandard) -> None:
    """The next version, while no other is noticed. A draft gives way."""
    standard, held = draft.one(Standard), draft.load(StandardStep)
    need_version(operation.version, standard.version + 1, "the next standard")
    if held is not None and held.state is StepState.NOTICED:
        raise Invalid(Reason.STEP_OPEN, f"the step to version {held.version} is noticed")
    opened = step.propose(
        standard,
        operation.raised,
        operation.added,
        clock_ms=draft.clock_ms,
        period_ms=draft.parameters.period_ms,
        economy=draft.economy,
    )
    draft.put(opened)


def withdraw(draft: Draft, operation: WithdrawStandard) -> None:
    """The very step that was noticed then, before it takes effect."""
    held = draft.load(StandardStep)
    if held is None or held.state is not StepState.NOTICED:
        raise Invalid(Reason.NO_STEP, "no step is noticed")
    if operation.since_ms != held.since_ms:
        named, noticed = rfc3339(operation.since_ms), rfc3339(held.since_ms)
        detail = f"of {named}, the step that is noticed is of {noticed}"
        raise Invalid(Reason.NO_STEP, detail)
    draft.remove(StandardStep, b"")


def begin(draft: Draft) -> None:
    """What ends with this period's start: a draft lapses, a noticed step is in force. Else, and
    where no step is open, receipts of the past period may bring a draft; they are not looked at
    again. Those before a step measured by the standard that is gone."""
    told = draft.all(Throughput)
    for item in told:
        draft.remove(Throughput, item.identity)
    held = draft.load(StandardStep)
    if held is not None:
        if draft.clock_ms < held.ends_ms:
            return
        draft.remove(StandardStep, b"")
        if held.state is StepState.NOTICED:
            past = PastStandard(draft.one(Standard), held.ends_ms)
            draft.put(past, past.identity)
            draft.put(held.standard)
            return
    drafted = draft_step(
        draft.one(Standard),
        told,
        clock_ms=draft.clock_ms,
        period_ms=draft.parameters.period_ms,
        economy=draft.economy,
    )
    if drafted is not None:
        draft.put(drafted)
