"""Who is who: licences by link key, consensus key and id, as the chain's last block has them."""

from __future__ import annotations

from collections.abc import Iterable

from ledger.economy.licence import Licence, Seat
from ledger.objects import ObjectReader, load_all
from ledger.operations import Burn, Mint
from ledger.validators import ValidatorSet
from node.engine import FinalizedBlock


class Directory:
    """Read once and again whenever a block may have changed a licence."""

    def __init__(self, chain: ObjectReader) -> None:
        self._chain = chain
        self.refresh()

    def refresh(self) -> None:
        licences = load_all(self._chain, Licence)
        self._by_link = {item.grant.keys.link: item for item in licences}
        self._key_by_id = {item.grant.id: item.grant.keys.consensus for item in licences}
        self._id_by_key = {key: name for name, key in self._key_by_id.items()}
        self._seats = {item.grant.id: item.seat for item in licences}

    def licence(self, link_key: bytes) -> Licence | None:
        """The licence whose node shows this key on its links."""
        return self._by_link.get(link_key)

    def seat(self, identity: str) -> Seat | None:
        """Where a licence stands towards the set of validators; None for what is no licence."""
        return self._seats.get(identity)

    def waiting(self) -> list[str]:
        """Licences that wait for a seat, whether their node is ready or not."""
        wanted = (Seat.WAITING, Seat.READY)
        return sorted(name for name, seat in self._seats.items() if seat in wanted)

    def key(self, identity: str) -> bytes:
        """How the engine names the peer that links call `identity`: by its consensus key, or by
        that name itself where it has none."""
        return self._key_by_id.get(identity, identity.encode("ascii"))

    def licensed(self, key: bytes) -> str | None:
        """Whose consensus key this is; None where nobody has it any more."""
        return self._id_by_key.get(key)

    def identity(self, key: bytes) -> str:
        """The inverse of `key`."""
        return self._id_by_key.get(key) or key.decode("ascii")


def believed(names: Iterable[str], validators: ValidatorSet) -> list[str]:
    """Those of `names` that are members, where they are more than f: so many do not lie."""
    members = {member.licence for member in validators.members}
    telling = sorted(members.intersection(names))
    return telling if len(telling) > validators.f else []


def may_change_licences(block: FinalizedBlock) -> bool:
    """Whether to read them again after it: payments, mints and burns leave them as they are."""
    operations = [item for tx in block.transactions for item in tx.body.operations]
    return block.header.ends_epoch or any(not isinstance(item, Mint | Burn) for item in operations)
