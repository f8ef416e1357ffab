"""Kinds of protocol objects by the first byte of their keys."""

from __future__ import annotations

from ledger.codec import Wire
from ledger.economy.attestor import Attestor
from ledger.economy.bond import Bond
from ledger.economy.book import Book, Place
from ledger.economy.capacity import CapacityCommitment, Device
from ledger.economy.challenge import Challenge
from ledger.economy.compliance import Freeze, Order
from ledger.economy.conduct import Conduct
from ledger.economy.dispute import Dispute
from ledger.economy.due import Due
from ledger.economy.issuance import Lane
from ledger.economy.licence import Licence
from ledger.economy.redemption import Redemption
from ledger.economy.regulator import Regulator
from ledger.economy.reserve import Reserve
from ledger.economy.residual import ResidualClaim
from ledger.economy.spot_audit import AuditRound, Opening
from ledger.economy.standard import PastStandard, Standard
from ledger.economy.step import StandardStep
from ledger.economy.throughput import Throughput
from ledger.epochs import Epoch
from ledger.objects import FeePot, LedgerClock, Used
from ledger.parameters import Parameters

_KINDS: tuple[tuple[type[Wire], str], ...] = (
    (LedgerClock, "ledger_clock"),
    (FeePot, "fee_pot"),
    (Parameters, "parameters"),
    (Standard, "standard"),
    (Licence, "licence"),
    (Attestor, "attestor"),
    (CapacityCommitment, "commitment"),
    (Reserve, "reserve"),
    (Lane, "lane"),
    (Epoch, "epoch"),
    (Regulator, "regulator"),
    (Device, "device"),
    (Bond, "bond"),
    (Challenge, "challenge"),
    (AuditRound, "audit_round"),
    (Opening, "opening"),
    (Order, "compliance_order"),
    (Freeze, "freeze"),
    (Due, "due"),
    (Used, "used"),
    (Redemption, "order"),
    (Dispute, "dispute"),
    (Conduct, "conduct"),
    (Book, "book"),
    (ResidualClaim, "residual_claim"),
    (StandardStep, "standard_step"),
    (PastStandard, "past_standard"),
    (Place, "place"),
    (Throughput, "throughput"),
)

OBJECT_NAMES: dict[int, str] = {kind.TYPE: name for kind, name in _KINDS}
