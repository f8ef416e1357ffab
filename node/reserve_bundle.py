"""The reserve as one file that whoever holds the genesis file checks alone, without a node.

It leads from the validators of genesis to those of the last final block, shows that these signed
the block, opens its state root, lists the supply of every asset, and proves each object from which
an issuer's reserve is worked out. `cli.verify_bundle` reads it with code of its own; what stands
where is in docs/AUDIT.md.

The same state and the same certificates give the same bytes. Two nodes may hold different
certificates for one block, for any q signatures prove it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.accumulator import StateRoots
from ledger.block import Certificate, Header
from ledger.boundaries import Boundary
from ledger.chain import Chain
from ledger.codec import Bytes32, Wire
from ledger.economy.attestor import Attestor
from ledger.economy.bond import Bond
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.licence import Licence
from ledger.economy.reserve import Reserve, SupplyLine, supply_line
from ledger.economy.standard import PastStandard, Standard
from ledger.membership import LICENCES_EVER_MAX
from ledger.object_tree import PATH_BITS
from ledger.objects import OBJECT_BYTES_MAX, LedgerClock, key_of, load_all
from ledger.parameters import Parameters
from ledger.snapshot import OBJECT_KEY_BYTES_MAX
from ledger.view import Head

BUNDLE_BYTES_MAX = 12 * 1024 * 1024
"""Of an encoded bundle: the largest of today's states come to 2 MiB, a change of validators with
32 members to 4 KiB."""
CHANGES_MAX = 1_024
OBJECTS_MAX = 8_192

KINDS = (
    LedgerClock,
    Parameters,
    Standard,
    Licence,
    Attestor,
    CapacityCommitment,
    Reserve,
    Bond,
    PastStandard,
)
"""What figures are worked out from; every object of each kind, in ascending order of type byte."""


class ProvedObject(Wire, frozen=True):
    """An object as it is stored, and the siblings of its leaf under the objects root, from the
    leaf up."""

    key: Annotated[bytes, Meta(min_length=1, max_length=OBJECT_KEY_BYTES_MAX)]
    value: Annotated[bytes, Meta(min_length=1, max_length=OBJECT_BYTES_MAX)]
    path: Annotated[tuple[Bytes32, ...], Meta(max_length=PATH_BITS)]


class ReserveBundle(Wire, frozen=True):
    """See the module. Lists are in ascending order: changes of epoch, lines of asset, objects of
    key."""

    TYPE: ClassVar[int] = 14
    chain_id: Bytes32
    changes: Annotated[tuple[Boundary, ...], Meta(max_length=CHANGES_MAX)]
    """The last blocks of the epochs whose members are not those of the next."""
    header: Header
    certificate: Certificate
    roots: StateRoots
    supply: Annotated[tuple[SupplyLine, ...], Meta(max_length=LICENCES_EVER_MAX)]
    objects: Annotated[tuple[ProvedObject, ...], Meta(max_length=OBJECTS_MAX)]


class TooLarge(Exception):
    """The state does not fit into a bundle; the sentence has the figures."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle holds of one state, read at once; proofs are added to each object."""

    head: Head
    certificate: Certificate
    supply: tuple[SupplyLine, ...]
    objects: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def of(cls, chain: Chain) -> Contents | None:
        """After the last final block; None at height 0, which nobody signed. Raises TooLarge."""
        certificate = chain.certificate(chain.height)
        if certificate is None:
            return None
        supply = tuple([supply_line(item) for item in load_all(chain, Reserve)])
        objects = tuple([row for kind in KINDS for row in chain.objects(key_of(kind))])
        if len(objects) > OBJECTS_MAX:
            raise TooLarge(f"{len(objects)} objects, a bundle holds at most {OBJECTS_MAX}")
        return cls(chain.head, certificate, supply, objects)

    def prove(self, start: int, end: int) -> list[ProvedObject]:
        """Some of the objects, each with its proof."""
        tree = self.head.commitments.objects
        return [
            ProvedObject(key, value, tree.prove(key).path) for key, value in self.objects[start:end]
        ]

    def bundle(self, changes: Sequence[Boundary], proved: Sequence[ProvedObject]) -> ReserveBundle:
        """The whole, for changes that lead to the epoch of the head."""
        header = self.head.header
        return ReserveBundle(
            chain_id=header.chain_id,
            changes=tuple(changes),
            header=header,
            certificate=self.certificate,
            roots=self.head.commitments.roots,
            supply=self.supply,
            objects=tuple(proved),
        )
