"""One line an event: hashed always, printed on request, with messages in words."""

from __future__ import annotations

from hashlib import sha256
from zlib import crc32

from consensus.messages import (
    MESSAGE_BY_TYPE,
    Message,
    NewView,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
)
from ledger import codec
from ledger.block import header_hash
from ledger.reasons import Invalid
from node.engine import MESSAGE_BYTES_MAX
from p2p.wire import MESSAGES

CHECKSUM_CHARS = 9
"""Of a payload, with the space before it."""
UNHASHED_MAX = 1_000
"""Lines that are hashed together: one at a time costs more than the hash."""

_NAMES = {number: kind.name for number, kind in MESSAGES.items()}


class Trace:
    """The hash covers every line, so that equal hashes mean equal runs."""

    def __init__(self, *, printed: bool = False) -> None:
        self.printed = printed
        self.lines = 0
        self._hash = sha256()
        self._unhashed: list[str] = []

    def line(self, now_ms: int, where: str, what: str) -> None:
        text = f"{now_ms:>7} {where:<12} {what}"
        self._add(text)
        if self.printed:
            print(text)

    def message(self, now_ms: int, where: str, sender: int, number: int, payload: bytes) -> None:
        """A message that arrives; its words are printed and not hashed."""
        text = f"{now_ms:>7} {where:<12} {_NAMES[number]} from {sender} {crc32(payload):08x}"
        self._add(text)
        if self.printed:
            print(text[:-CHECKSUM_CHARS], _words(number, payload))

    @property
    def digest(self) -> str:
        self._hash_lines()
        return self._hash.hexdigest()[:16]

    def _add(self, text: str) -> None:
        self.lines += 1
        self._unhashed.append(text)
        if len(self._unhashed) >= UNHASHED_MAX:
            self._hash_lines()

    def _hash_lines(self) -> None:
        self._hash.update("".join(self._unhashed).encode())
        self._unhashed.clear()


def _words(number: int, payload: bytes) -> str:
    kind = MESSAGE_BY_TYPE.get(number)
    if kind is None:
        return f"{len(payload)} bytes"
    try:
        message: Message = codec.decode(payload, kind, size_max=MESSAGE_BYTES_MAX)
    except Invalid as error:
        return str(error)
    match message:
        case PrePrepare(view, header, leaves):
            short = header_hash(header).hex()[:6]
            return f"v={view} h={header.height} {short} txs={len(leaves)}"
        case Suspect(_, view):
            return f"v={view}"
        case ViewChange(body):
            entries = [(item.header.height, item.certificate.view) for item in body.entries]
            return f"v={body.view} base={body.base.height} entries={entries}"
        case NewView(body):
            signers = [item.body.signer for item in body.view_changes]
            return f"v={body.view} of {signers}"
        case Status():
            held = [
                (item.height, item.proposal, item.prepares, item.commits) for item in message.held
            ]
            return f"v={message.view} active={message.active} h={message.height} held={held}"
        case vote:
            return f"v={vote.view} h={vote.height} {vote.block_hash.hex()[:6]}"
