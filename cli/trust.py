"""From the validators in the genesis file to those of any epoch, without trusting a node.

A quorum of each set of validators signed the header that names the next one. Only the blocks at
which the members changed are needed: where they stay, their own signatures under a later epoch say
that it is theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

from cli.audit_chain import check_final
from ledger.genesis import Genesis, chain_id
from ledger.reasons import Invalid, Reason
from ledger.validators import Member, ValidatorSet
from node.api.convert import read_certificate, read_header, read_hex
from node.api.epoch_schemas import SetChange


def validators_at(genesis: Genesis, changes: Sequence[SetChange], epoch: int) -> ValidatorSet:
    """Who validates in `epoch`, when these are all changes before it; raises Invalid.

    A change that is left out is no danger: then the set is another than signed the block in
    question.
    """
    chain, members = chain_id(genesis), genesis.validators.members
    last = -1
    for change in changes:
        header = read_header(change.header)
        if header.chain_id != chain:
            raise Invalid(Reason.WRONG_CHAIN, f"a change is of chain {header.chain_id.hex()}")
        if not last < header.epoch < epoch:
            detail = f"a change at the end of epoch {header.epoch}, after that of {last}"
            raise Invalid(Reason.BAD_PROOF, f"{detail}, to get to epoch {epoch}")
        check_final(
            header, read_certificate(change.certificate), ValidatorSet(header.epoch, members)
        )
        following = ValidatorSet.of(
            [
                Member(read_hex(member.key, "a member's key"), member.licence)
                for member in change.members
            ],
            header.epoch + 1,
        )
        if following.hash != header.next_validators_hash:
            detail = f"epoch {header.epoch} ended with other validators for the next"
            raise Invalid(Reason.BAD_PROOF, detail)
        last, members = header.epoch, following.members
    return ValidatorSet(epoch, members)
