"""Partially signed transactions: a body that travels from signer to signer. Pure.

It holds the body, the conditions and preimages revealed so far, and one verified signature a key.
Several of one body combine in any order to the same, and no operation loses a signature (the
lessons of BIP 174).
`cli.wallet.ptx_document` writes it as text.

What is not in it, because it may change on the way: whose approvals count for an operation of
government, and how many. `Approvers` brings that from a node when the transaction is finalized;
signatures and preimages beyond what the rules ask for stay in the document and are left out of the
witness.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

from ledger import codec
from ledger.address import HRP_BY_NETWORK, encode_address
from ledger.crypto import SigningKey, verify
from ledger.economy.regulator import Carrier
from ledger.locks import (
    Condition,
    Key,
    Moment,
    Threshold,
    check_condition,
    digests_of,
    is_satisfied,
    keys_of,
    lock_hash,
)
from ledger.operations import Governance, keys_that_sign
from ledger.reasons import Invalid, Reason
from ledger.spending import check_open
from ledger.transaction import (
    INPUTS_MAX,
    PREIMAGES_MAX,
    SIGNATURES_MAX,
    FeeSchedule,
    KeySignature,
    SignedTransaction,
    Transaction,
    Witness,
    check_signatures,
    check_stateless,
    is_governance,
    seal,
    sighash,
    transaction_id,
)


@dataclass(frozen=True, slots=True)
class Ptx:
    """A body and what is known of its witness: conditions by ascending lock hash, signatures by
    ascending key, each of them verified, preimages by ascending digest."""

    network: str
    body: Transaction
    conditions: tuple[Condition, ...] = ()
    signatures: tuple[KeySignature, ...] = ()
    preimages: tuple[bytes, ...] = ()

    @property
    def txid(self) -> bytes:
        return transaction_id(self.body)

    @property
    def is_governance(self) -> bool:
        return is_governance(self.body)

    @property
    def signers(self) -> frozenset[bytes]:
        return frozenset(item.key for item in self.signatures)

    @property
    def digests(self) -> frozenset[bytes]:
        """Of the preimages."""
        return frozenset(digest_of(item) for item in self.preimages)


@dataclass(frozen=True, slots=True)
class Approvers:
    """Who may approve government: licence by operations key, the regulator's keys, and how many
    of each."""

    epoch: int
    needed: int
    names: Mapping[bytes, str]
    regulator_needed: int
    regulator_keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that wants signatures: `needed` of `keys`; `signed` are those that are there.

    A `tree`, any condition but a key or a threshold, has a need of its own kind: it may be opened
    in several ways, also by preimages of `digests`, of which `known` are there. `needed` is then 1
    way.
    """

    what: str
    needed: int
    keys: tuple[bytes, ...]
    signed: tuple[bytes, ...]
    tree: Condition | None = None
    digests: tuple[bytes, ...] = ()
    known: tuple[bytes, ...] = ()

    @property
    def left(self) -> int:
        if self.tree is None:
            return max(0, self.needed - len(self.signed))
        return 0 if self.is_met(self.signed, self.known, None) else 1

    def is_met(
        self, signers: Collection[bytes], digests: Collection[bytes], at: Moment | None
    ) -> bool:
        """By these, in a block of this moment, or at some time when it is None."""
        if self.tree is None:
            return len(set(self.keys).intersection(signers)) >= self.needed
        return is_satisfied(self.tree, signers, digests, at)


def digest_of(preimage: bytes) -> bytes:
    return sha256(preimage).digest()


def create(body: Transaction, network: str, conditions: Iterable[Condition] = ()) -> Ptx:
    """A document without signatures; raises Invalid where the shape of its parts is wrong."""
    codec.checked(body)
    if network not in HRP_BY_NETWORK:
        known = ", ".join(HRP_BY_NETWORK)
        raise Invalid(Reason.MALFORMED, f"there is no network {network!r}; there are {known}")
    revealed = {lock_hash(item): item for item in conditions}
    for item in revealed.values():
        check_condition(item)
    if len(revealed) > INPUTS_MAX:
        raise Invalid(Reason.TOO_LARGE, f"{len(revealed)} conditions, at most {INPUTS_MAX}")
    return Ptx(network, body, tuple(revealed[lock] for lock in sorted(revealed)))


def signing_keys(ptx: Ptx) -> frozenset[bytes] | None:
    """Whose signatures can be of use; None where only the state of the chain can tell."""
    if ptx.is_governance:
        return None
    keys = {key for condition in ptx.conditions for key in keys_of(condition)}
    return frozenset(keys | _actors(ptx.body).keys())


def sign(ptx: Ptx, keys: Iterable[SigningKey]) -> Ptx:
    """The document with the signatures of those of `keys` that are of use; raises Invalid when
    none is."""
    useful = signing_keys(ptx)
    given = list(keys)
    chosen = [key for key in given if useful is None or key.public in useful]
    if not chosen:
        shown = ", ".join(key.public.hex() for key in given)
        raise Invalid(Reason.SPARE_SIGNATURE, f"nothing in it needs a signature by {shown}")
    message = sighash(ptx.body)
    return add(ptx, [KeySignature(key.public, key.sign(message)) for key in chosen])


def add(ptx: Ptx, signatures: Iterable[KeySignature]) -> Ptx:
    """The union with these signatures; raises Invalid for a bad one and for one of no use.

    Two signatures by one key, which RFC 8032 never makes but both may verify, leave the smaller,
    so that the order in which they came is of no consequence.
    """
    message, useful = sighash(ptx.body), signing_keys(ptx)
    by_key = {item.key: item.signature for item in ptx.signatures}
    for item in signatures:
        if by_key.get(item.key) == item.signature:
            continue
        if useful is not None and item.key not in useful:
            raise Invalid(Reason.SPARE_SIGNATURE, f"nothing in it needs {item.key.hex()}")
        if not verify(item.key, message, item.signature):
            raise Invalid(Reason.BAD_SIGNATURE, f"by key {item.key.hex()}")
        by_key[item.key] = min(item.signature, by_key.get(item.key, item.signature))
    if len(by_key) > SIGNATURES_MAX:
        detail = f"{len(by_key)} signatures, a transaction holds {SIGNATURES_MAX}"
        raise Invalid(Reason.TOO_LARGE, detail)
    merged = tuple(KeySignature(key, by_key[key]) for key in sorted(by_key))
    return replace(ptx, signatures=merged)


def reveal(ptx: Ptx, preimages: Iterable[bytes]) -> Ptx:
    """The union with these preimages; raises Invalid for one that no condition names."""
    useful = {digest for condition in ptx.conditions for digest in digests_of(condition)}
    by_digest = {digest_of(item): item for item in ptx.preimages}
    for item in preimages:
        digest = digest_of(item)
        if digest not in useful:
            raise Invalid(Reason.SPARE_PREIMAGE, f"nothing in it has the hash {digest.hex()}")
        by_digest[digest] = item
    if len(by_digest) > PREIMAGES_MAX:
        detail = f"{len(by_digest)} preimages, a transaction holds {PREIMAGES_MAX}"
        raise Invalid(Reason.TOO_LARGE, detail)
    return replace(ptx, preimages=tuple(by_digest[digest] for digest in sorted(by_digest)))


def combine(first: Ptx, *others: Ptx) -> Ptx:
    """All that documents of one body hold; raises Invalid for another body."""
    conditions = list(first.conditions)
    for other in others:
        if (other.network, other.txid) != (first.network, first.txid):
            detail = f"transaction {other.txid.hex()}, not {first.txid.hex()}"
            raise Invalid(Reason.BAD_BODY, detail)
        conditions += other.conditions
    merged = create(first.body, first.network, conditions)
    merged = reveal(merged, [item for ptx in (first, *others) for item in ptx.preimages])
    return add(merged, [item for ptx in (first, *others) for item in ptx.signatures])


def needs(
    ptx: Ptx, *, approvers: Approvers | None = None, locks: Collection[bytes] | None = None
) -> tuple[Need, ...]:
    """What must be signed, by whom, and who has signed.

    `locks` are those of the spent outputs, from a node: conditions of others do not count, and
    one that was not revealed is a need that no key fills. `approvers` must be given for
    government.
    """
    if ptx.is_governance:
        if approvers is None:
            raise Invalid(Reason.NEEDS_QUORUM, "a node tells who may approve it, and how many must")
        return _government(ptx, approvers)
    found = [
        _need(ptx, f"operation '{name}'", 1, [key])
        for key, name in sorted(_actors(ptx.body).items())
    ]
    revealed = {lock_hash(item): item for item in ptx.conditions}
    for lock in sorted(revealed if locks is None else locks):
        address = encode_address(lock, HRP_BY_NETWORK[ptx.network])
        if lock not in revealed:
            found.append(Need(f"{address}, whose condition is not revealed", 1, (), ()))
            continue
        condition = revealed[lock]
        needed = condition.needed if isinstance(condition, Threshold) else 1
        need = _need(ptx, address, needed, keys_of(condition))
        if not isinstance(condition, Key | Threshold):
            digests = tuple(sorted(set(digests_of(condition))))
            known = tuple(digest for digest in digests if digest in ptx.digests)
            need = replace(need, tree=condition, digests=digests, known=known)
        found.append(need)
    return tuple(found)


def finalize(
    ptx: Ptx,
    fees: FeeSchedule,
    *,
    approvers: Approvers | None = None,
    locks: Collection[bytes] | None = None,
    at: Moment | None = None,
) -> SignedTransaction:
    """The transaction with exactly the witness that the rules need; raises Invalid with what is
    missing.

    What is taken of more than enough depends on the document and, for locks that open with time,
    on the moment `at`: the signatures of the smallest keys that open every lock then. What opens
    at another time only is finished all the same.
    """
    wanted = needs(ptx, approvers=approvers, locks=locks)
    _check_complete(ptx, wanted)
    signers = set(ptx.signers) & {key for need in wanted for key in need.keys}
    digests = {digest for need in wanted for digest in need.known}
    if not all(need.is_met(signers, digests, at) for need in wanted):
        at = None
    for kept in (signers, digests):
        for item in sorted(kept, reverse=True):
            kept.remove(item)
            if not all(need.is_met(signers, digests, at) for need in wanted):
                kept.add(item)
    revealed = (item for item in ptx.conditions if locks is None or lock_hash(item) in locks)
    chosen = tuple(item for item in ptx.signatures if item.key in signers)
    shown = tuple(item for item in ptx.preimages if digest_of(item) in digests)
    tx = seal(ptx.body, Witness(tuple(revealed), chosen, shown))
    check_stateless(tx, ptx.body.chain_id, fees)
    check_signatures(tx)
    return tx


def refusals_at(ptx: Ptx, wanted: Iterable[Need], at: Moment) -> list[Invalid]:
    """Why locks that are complete do not open at this moment."""
    found = []
    for need in wanted:
        if need.tree is not None and not need.left:
            try:
                check_open(need.tree, lock_hash(need.tree), ptx.signers, ptx.digests, at)
            except Invalid as error:
                found.append(error)
    return found


def _check_complete(ptx: Ptx, wanted: Iterable[Need]) -> None:
    lacking = [need for need in wanted if need.left]
    if not lacking:
        return
    reason = Reason.NEEDS_QUORUM if ptx.is_governance else Reason.MISSING_SIGNATURE
    hashes = [digest for need in lacking for digest in need.digests]
    if all(need.is_met(ptx.signers, hashes, None) for need in lacking):
        reason = Reason.MISSING_PREIMAGE
    said = [f"{need.left} {'way of' if need.tree else 'of'} {need.what}" for need in lacking]
    raise Invalid(reason, f"still needed: {'; '.join(said)}")


def _need(ptx: Ptx, what: str, needed: int, keys: Iterable[bytes]) -> Need:
    ordered = tuple(sorted(set(keys)))
    return Need(what, needed, ordered, tuple(key for key in ordered if key in ptx.signers))


def _government(ptx: Ptx, approvers: Approvers) -> tuple[Need, ...]:
    """Validators, regulator or both, as the operations want. Where either may, it is the validators
    unless the regulator alone has signed, or alone as often as needed."""
    what = f"the validators of epoch {approvers.epoch}"
    validators = _need(ptx, what, approvers.needed, approvers.names)
    regulator = _need(ptx, "the regulator", approvers.regulator_needed, approvers.regulator_keys)
    wanted = {item.carrier for item in ptx.body.operations if isinstance(item, Governance)}
    if wanted == {Carrier.EITHER}:
        is_done = not regulator.left and validators.left > 0
        is_alone = bool(regulator.signed) and not validators.signed
        return (regulator,) if is_done or is_alone else (validators,)
    found = []
    if wanted & {Carrier.VALIDATORS, Carrier.BOTH}:
        found.append(validators)
    if wanted & {Carrier.REGULATOR, Carrier.BOTH}:
        found.append(regulator)
    return tuple(found)


def _actors(body: Transaction) -> dict[bytes, str]:
    """Keys that operations name as theirs."""
    return {key: item.name for item in body.operations for key in keys_that_sign(item)}
