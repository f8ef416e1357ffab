"""What a node testifies with when its chain contradicts another's: `consensus.testimony.Material`.

From the stored chain and the kept NEW-VIEWs of one range of heights. Everything in it is signed by
validators; who reads it checks that again and trusts no exporter.
"""

from __future__ import annotations

from contextlib import closing

from consensus.messages import NewView
from consensus.testimony import MATERIAL_BLOCKS_MAX, CertifiedHeader, Material
from ledger import codec
from ledger.chain import Chain
from ledger.leveldb import LevelDB
from ledger.reasons import Invalid
from ledger.schema import DamagedChain
from ledger.witnesses import WITNESS_BYTES_MAX, Witnesses
from node.config import NodeConfig
from node.disk import DirectoryLock, storage_errors
from node.errors import NodeError


def export_directory(config: NodeConfig, low: int, high: int) -> Material:
    """From the directory of a node that does not run; raises NodeError."""
    with (
        storage_errors(),
        DirectoryLock(config.directory),
        closing(LevelDB.open(config.chain_path)) as kv,
    ):
        return export_material(Chain.open(kv), Witnesses(kv), low, high)


def export_material(chain: Chain, witnesses: Witnesses, low: int, high: int) -> Material:
    """Heights `low` to `high` as far as they are of the epoch of `high`; raises NodeError.

    A `high` above the last block means that one, and the views that begin after it: that is where a
    node stands that stopped.
    """
    top = min(high, chain.height)
    header = chain.header(top)
    if header is None or top < max(low, 1, chain.base):
        raise NodeError(
            "no_such_blocks",
            f"this node has blocks {max(1, chain.base)} to {chain.height}, not {low} to {high}",
            "choose heights around the one at which two chains differ",
        )
    epoch, blocks = header.epoch, list[CertifiedHeader]()
    for height in range(top, max(low, 1, chain.base, top - MATERIAL_BLOCKS_MAX + 1) - 1, -1):
        header, certificate = chain.header(height), chain.certificate(height)
        if header is None or certificate is None or header.epoch != epoch:
            break
        blocks.append(CertifiedHeader(header, certificate))
    blocks.reverse()
    validators = chain.validators(epoch)
    previous = chain.validators(epoch - 1) if epoch else None
    if validators is None or (epoch and previous is None):
        raise NodeError(
            "no_such_blocks",
            f"height {top} is of epoch {epoch}, and this node began with that epoch's last block",
            "ask a node that holds the epoch as a whole",
        )
    first = blocks[0].header.height
    return Material(
        chain_id=chain.chain_id,
        validators=validators,
        previous=() if previous is None else (previous,),
        blocks=tuple(blocks),
        new_views=tuple(_new_views(witnesses, epoch, first, top + 1)),
    )


def _new_views(witnesses: Witnesses, epoch: int, low: int, high: int) -> list[NewView]:
    """Those of the epoch whose views begin in a range."""
    found = []
    for raw in witnesses.between(low, high):
        try:
            message = codec.decode(raw, NewView, size_max=WITNESS_BYTES_MAX)
        except Invalid as error:
            raise DamagedChain(f"a kept NEW-VIEW cannot be read ({error})") from None
        if message.body.epoch == epoch:
            found.append(message)
    return found
