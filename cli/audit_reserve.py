"""What a node says about supply and reserve, proved against the genesis file.

The rows are the leaves of the supply root, the supply root is a part of the state root, the state
root is in the header, and a quorum of the validators, who follow from those of genesis, signed the
header. So a node can answer with an older block, but not with other figures.
"""

from __future__ import annotations

from collections.abc import Sequence

from cli.audit_chain import check_final
from cli.trust import validators_at
from ledger import codec
from ledger.accumulator import StateRoots
from ledger.block import Header
from ledger.economy.reserve import (
    RATIO_PPM_MAX,
    Solvency,
    SupplyLine,
    margin_limit,
    supply_leaf,
)
from ledger.genesis import Genesis, chain_id
from ledger.genesis_state import genesis_state
from ledger.merkle import merkle_root
from ledger.parameters import PPM, Parameters
from ledger.reasons import Invalid, Reason
from ledger.transaction import asset_id
from node.api import schemas
from node.api.convert import read_certificate, read_header
from node.api.epoch_schemas import SetChange

ROOTS_BYTES_MAX = 256
_HEALTHY, _WARN, _DEFICIT, _CAGED = (item.name.lower() for item in Solvency)


def verify_reserve(
    reserve: schemas.Reserve, genesis: Genesis, changes: Sequence[SetChange] = ()
) -> Header:
    """Everything that `reserve` says about issuers is committed to; raises Invalid.

    `changes` lead from the validators of genesis to those of its block.
    """
    header = _final_header(reserve, genesis, changes)
    data = bytes.fromhex(reserve.roots)
    roots = codec.decode_payload(data, StateRoots, size_max=ROOTS_BYTES_MAX)
    if roots.state_root != header.state_root:
        raise Invalid(Reason.BAD_PROOF, "the roots do not open the state root of the header")
    lines = sorted([_line(row) for row in reserve.issuers], key=lambda line: line.asset)
    if merkle_root([supply_leaf(line) for line in lines]) != roots.supply_root:
        raise Invalid(Reason.BAD_PROOF, "the figures are not those of the supply root")
    for row in reserve.issuers:
        _check_row(row, header.chain_id, genesis.parameters)
    return header


def deficits(rows: Sequence[schemas.IssuerReserve]) -> list[str]:
    """Issuers whose coins are not all backed."""
    return [row.issuer for row in rows if row.status in (_DEFICIT, _CAGED)]


def _final_header(
    reserve: schemas.Reserve, genesis: Genesis, changes: Sequence[SetChange]
) -> Header:
    header = read_header(reserve.header)
    if header.chain_id != chain_id(genesis):
        raise Invalid(Reason.WRONG_CHAIN, f"the header is of chain {header.chain_id.hex()}")
    if header.height != reserve.height:
        raise Invalid(Reason.BAD_PROOF, f"the header is of height {header.height}")
    if header.height == 0:
        if header != genesis_state(genesis).head.header:
            raise Invalid(Reason.BAD_GENESIS, "block 0 is not the one that the file makes")
    elif reserve.certificate is None:
        raise Invalid(Reason.BAD_CERTIFICATE, "there is none")
    else:
        validators = validators_at(genesis, changes, header.epoch)
        check_final(header, read_certificate(reserve.certificate), validators)
    return header


def _line(row: schemas.IssuerReserve) -> SupplyLine:
    return SupplyLine(
        asset=bytes.fromhex(row.asset),
        supply=int(row.outstanding),
        reserve=int(row.reserve),
        coverage_ppm=row.coverage_ppm,
        deliverability_ppm=row.deliverability_ppm,
    )


def _check_row(row: schemas.IssuerReserve, chain: bytes, parameters: Parameters) -> None:
    """What follows from the committed figures: whose asset it is, its coverage, its status.

    That a coin is caged does not: it may be so for good, whatever its figures.
    """
    if asset_id(chain, row.issuer).hex() != row.asset:
        raise Invalid(Reason.BAD_PROOF, f"'{row.issuer}' is not the issuer of asset {row.asset}")
    supply, reserve = int(row.outstanding), int(row.reserve)
    coverage = min(reserve * PPM // supply, RATIO_PPM_MAX) if supply else RATIO_PPM_MAX
    if coverage != row.coverage_ppm:
        detail = f"'{row.issuer}': coverage {row.coverage_ppm} ppm, counted {coverage} ppm"
        raise Invalid(Reason.BAD_PROOF, detail)
    status = _status(supply, reserve, row.deliverability_ppm, parameters)
    if row.status not in (status, _CAGED):
        detail = f"'{row.issuer}': status {row.status}, its figures say {status}"
        raise Invalid(Reason.BAD_PROOF, detail)


def _status(supply: int, reserve: int, deliverability_ppm: int, parameters: Parameters) -> str:
    if supply > reserve:
        return _DEFICIT
    is_thin = deliverability_ppm < parameters.economy.deliverability_ppm
    above_margin = supply > margin_limit(reserve, parameters.margin_ppm)
    return _WARN if above_margin or is_thin else _HEALTHY
