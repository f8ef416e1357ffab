"""Where two epochs meet: the rules for a chain's next block, and what is said before its time.

Members finish an epoch within moments of each other; without `EarlyMessages` the slowest would miss
the first proposal and votes of the next, until they are sent again. The latest `EARLY_A_PEER` of
each peer are kept, and of all `EARLY_MAX`: where that is not enough, who has most gives way. So
each peer has its share, whoever came first, and a loud one displaces only its own.
"""

from __future__ import annotations

from collections import deque

from consensus.messages import Commit, Message, NewView, Prepare, PrePrepare, ViewChange
from consensus.view_change import Rules
from ledger.block import IsValid
from ledger.chain import Chain
from ledger.epochs import epoch_after, validators_of
from ledger.objects import load_one
from ledger.parameters import Parameters
from ledger.schema import DamagedChain
from ledger.validators import VALIDATORS_MAX

EARLY_A_PEER = 16
"""A proposal and two votes for each height of the largest window, and some to spare."""
EARLY_MAX = EARLY_A_PEER * VALIDATORS_MAX
"""As many as the largest set can need. More than a set may be linked: 64 peers have eight each."""


def rules_at(chain: Chain, is_valid: IsValid) -> Rules:
    """What the block after the chain's last is voted on by.

    Only in epoch 0 does anybody build on genesis; a chain that begins at a snapshot is past that,
    and its own first header stands in.
    """
    epoch = epoch_after(chain.head.header)
    first, validators = chain.header(chain.base), chain.validators(epoch)
    if first is None or validators is None:
        raise AssertionError("a chain holds its first block and the validators of its next")
    previous = chain.validators(epoch - 1) if epoch else None
    numbers = load_one(chain, Parameters)
    return Rules.of(first, validators, numbers, is_valid, previous=previous)


def rules_after(rules: Rules, chain: Chain) -> Rules:
    """Those of the epoch after `rules`, which ended with the chain's last block.

    Raises DamagedChain where the disk answers with validators of another: a node that believed it
    would refuse every block from then on.
    """
    validators = validators_of(chain)
    if validators.epoch != rules.epoch + 1:
        detail = f"the validators of epoch {rules.epoch + 1} are those of epoch {validators.epoch}"
        raise DamagedChain(detail)
    return rules.following(validators)


def epoch_of(message: Message) -> int:
    """The epoch that a message is of."""
    match message:
        case PrePrepare():
            return message.header.epoch
        case ViewChange() | NewView():
            return message.body.epoch
        case _:
            return message.epoch


class EarlyMessages:
    """Proposals and votes of one epoch ahead, by the key of whoever sent them."""

    def __init__(self) -> None:
        self._held: dict[bytes, deque[Message]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    def keep(self, peer: bytes, message: Message) -> None:
        """Only what nobody sends again by itself."""
        if not isinstance(message, PrePrepare | Prepare | Commit):
            return
        held = self._held.setdefault(peer, deque(maxlen=EARLY_A_PEER))
        held.append(message)
        if len(self) > EARLY_MAX:
            loudest = max(self._held, key=lambda name: len(self._held[name]))
            self._held[loudest].popleft()
            self._held = {name: items for name, items in self._held.items() if items}

    def take(self) -> list[tuple[bytes, Message]]:
        """All of them, in the order of each peer; none is held any more."""
        taken = [(peer, item) for peer, items in self._held.items() for item in items]
        self._held = {}
        return taken
