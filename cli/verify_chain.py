"""From a genesis file to a header of a later epoch: chain id, sets of validators, certificates.

A quorum of each set signed the header that names the next one. Where the members stay, the set of
a later epoch is the same list under another number.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

from cli.verify_bytes import Fault, Refused, digest, from_json, named, pack
from cli.verify_keys import is_signed, is_usable_key
from cli.verify_layouts import (
    ATTESTOR,
    CERTIFICATE,
    CHANGE,
    GENESIS,
    HEADER,
    PARAMETERS,
    STANDARD,
)

GENESIS_BYTES_MAX = 4 * 1024 * 1024
MEMBERS_MIN = 4
MEMBERS_MAX = 32
COMMIT = 2
FIRST_STANDARD = 1

Members = list[list[Any]]
"""(consensus key, licence) in ascending order of key: a member is named by its place."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What is believed without proof: the genesis file."""

    chain_id: bytes
    members: Members
    rules: dict[str, list[Any]]
    """Parameters, standard and grants of attestors, positional, by the name of their kind."""

    @classmethod
    def of(cls, text: bytes) -> Trust:
        """Read genesis.json; raises Refused(BAD_GENESIS)."""
        try:
            value = from_json(GENESIS, _parse(text), "genesis")
            genesis = named(GENESIS, value)
            seats = [item for item in genesis.licences if item.validator]
            members = sorted([item.keys.consensus, item.id] for item in seats)
            _check_members(members)
        except Refused as error:
            raise Refused(Fault.BAD_GENESIS, error.detail) from None
        place = {name: entry for (name, _), entry in zip(GENESIS.fields, value, strict=True)}
        rules = {
            PARAMETERS.name: [place["parameters"]],
            STANDARD.name: [
                [FIRST_STANDARD, place["standard"], place["references"], place["time_ms"]]
            ],
            ATTESTOR.name: sorted(place["attestors"]),
        }
        chain_id = digest("genesis", pack(value))
        return cls(chain_id, members, rules)


def quorum_of(members: Members) -> int:
    """q of n: two quorums share more than f members."""
    n = len(members)
    f = (n - 1) // 3
    return (n + f + 2) // 2


def follow(trust: Trust, changes: list[Any], epoch: int) -> Members:
    """Who validates in `epoch`, by the changes before it; raises Refused."""
    members, last = trust.members, None
    for value in changes:
        change = named(CHANGE, value)
        header, where = change.header, f"the change after epoch {change.header.epoch}"
        if not (last.epoch if last else -1) < header.epoch < epoch:
            raise Refused(Fault.BAD_SET, f"{where} is not between that before and epoch {epoch}")
        _check_later(header, last, where)
        check_header(trust, value[0], value[1], members)
        following = value[2]
        _check_members(following)
        if set_hash(header.epoch + 1, following) != header.next_validators_hash:
            raise Refused(Fault.BAD_SET, f"{where}: the header names other members")
        if following == members:
            raise Refused(Fault.BAD_SET, f"{where} changes nothing")
        members, last = following, header
    return members


def check_after(header: Any, changes: list[Any]) -> None:
    """The audited header comes after the last change; raises Refused."""
    last = named(HEADER, changes[-1][0]) if changes else None
    _check_later(header, last, f"height {header.height}")


def check_header(trust: Trust, header: list[Any], certificate: list[Any], members: Members) -> None:
    """A quorum of these members made exactly this header final; raises Refused."""
    head, proof = named(HEADER, header), named(CERTIFICATE, certificate)
    where = f"height {head.height}"
    if head.chain_id != trust.chain_id:
        raise Refused(Fault.WRONG_CHAIN, f"{where} is of chain {head.chain_id.hex()}")
    if head.validators_hash != set_hash(head.epoch, members):
        raise Refused(Fault.BAD_SET, f"{where} names other validators than those of its epoch")
    block_hash = digest("header", pack(header))
    expected = (head.epoch, COMMIT, head.height, block_hash)
    if (proof.epoch, proof.phase, proof.height, proof.block_hash) != expected:
        raise Refused(Fault.BAD_CERTIFICATE, f"{where}: the certificate is of another block")
    signers = signers_of(certificate)
    if len(signers) != quorum_of(members) or len(signers) != len(proof.signatures):
        detail = f"{len(signers)} signers, {len(proof.signatures)} signatures"
        raise Refused(Fault.BAD_CERTIFICATE, f"{where}: {detail}, a quorum is {quorum_of(members)}")
    if signers[-1] >= len(members):
        raise Refused(Fault.BAD_CERTIFICATE, f"{where}: signer {signers[-1]} is no member")
    vote = pack([proof.epoch, proof.phase, proof.view, proof.height, proof.block_hash])
    message = digest("vote", trust.chain_id, vote)
    for index, signature in zip(signers, proof.signatures, strict=True):
        key, licence = members[index]
        if not is_signed(key, message, signature):
            raise Refused(Fault.BAD_SIGNATURE, f"{where}: that of '{licence}' is wrong")


def signers_of(certificate: list[Any]) -> list[int]:
    """Places of the members who signed: a bitmap, the lowest bit first."""
    bitmap = named(CERTIFICATE, certificate).signers
    return [index for index in range(MEMBERS_MAX) if bitmap >> index & 1]


def set_hash(epoch: int, members: Members) -> bytes:
    """The hash of a set covers the number of its epoch."""
    return digest("validators", pack([epoch, members]))


def _check_later(header: Any, before: Any, where: str) -> None:
    if before and not (before.height < header.height and before.time_ms < header.time_ms):
        raise Refused(Fault.BAD_HEADER, f"{where} is not after height {before.height}")


def _check_members(members: Members) -> None:
    if not MEMBERS_MIN <= len(members) <= MEMBERS_MAX:
        raise Refused(Fault.BAD_SET, f"{len(members)} members, {MEMBERS_MIN} to {MEMBERS_MAX}")
    if not all(a[0] < b[0] for a, b in pairwise(members)):
        raise Refused(Fault.BAD_SET, "members are not in ascending order of key")
    if len({licence for _, licence in members}) != len(members):
        raise Refused(Fault.BAD_SET, "two members have one licence")
    for key, licence in members:
        if not is_usable_key(key):
            raise Refused(Fault.BAD_KEY, f"{key.hex()} of '{licence}' is no usable key")


def _parse(text: bytes) -> Any:
    if len(text) > GENESIS_BYTES_MAX:
        raise Refused(Fault.BAD_GENESIS, f"more than {GENESIS_BYTES_MAX} bytes")
    try:
        return json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except (ValueError, RecursionError) as error:
        raise Refused(Fault.BAD_GENESIS, f"no JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Refused(Fault.BAD_GENESIS, "a key is given twice")
    return result


def _refuse_number(text: str) -> NoReturn:
    raise Refused(Fault.BAD_GENESIS, f"{text[:20]}: only integers and text are read")
