"""What the two sides of a session say: one small set of messages in length-prefixed frames.

    holder -> provider   Open(order)
    provider -> holder   Greeting(nonce, licence, key, signature, last receipt)
    holder -> provider   Proof(signature, last receipt)
    provider -> holder   Shown(units, digests, meter root, µh)       after each tick
    holder -> provider   Signed(receipt, signature, units)
    either               Bye(reason)                                 the end, in words

Every frame has a limit, every wait a deadline; what is no message of the other side ends it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from cli.delivery.rules import UNITS_A_TICK_MAX, Broken, Fault, SignedReceipt, Tick
from ledger.codec import Bytes32, Signature, Slug, UInt
from ledger.crypto import tagged_hash
from ledger.economy.redemption import Receipt

FRAME_BYTES_MAX = 40 * UNITS_A_TICK_MAX + 4_096
"""The largest is a tick: 34 bytes a digest."""
LENGTH_BYTES = 4
ANSWER_S = 30.0
"""How long either side waits for a message that is due."""
CLOSE_S = 1.0
"""For the farewell of TLS; after it the socket is dropped."""

_licence_hash = tagged_hash("delivery/licence")
_proof_hash = tagged_hash("delivery/proof")


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of what is said."""


class Open(Message, frozen=True, tag=1):
    order: Bytes32


class Signed(Message, frozen=True, tag=3):
    """A receipt, and the units that it stands for."""

    receipt: Receipt
    signature: Signature
    units: UInt


LastOne: TypeAlias = Annotated[tuple[Signed, ...], Meta(max_length=1)]


class Greeting(Message, frozen=True, tag=2):
    """`signature` of the issuer's operations key over order and certificate; and the last receipt
    that it has, for a holder that lost it."""

    nonce: Bytes32
    licence: Slug
    key: Bytes32
    signature: Signature
    last: LastOne


class Proof(Message, frozen=True, tag=4):
    """`signature` of the session key over order, certificate and nonce; and the last receipt that
    was signed, for a provider that did not get it."""

    signature: Signature
    last: LastOne


class Shown(Message, frozen=True, tag=5):
    """What a tick brought."""

    units: UInt
    digests: Annotated[tuple[Bytes32, ...], Meta(max_length=UNITS_A_TICK_MAX)]
    meter_root: Bytes32
    microhours: UInt


class Bye(Message, frozen=True, tag=6):
    """The end; `fault` is empty where all was delivered."""

    fault: Annotated[str, Meta(max_length=32)]
    detail: Annotated[str, Meta(max_length=256)]


Said: TypeAlias = Open | Greeting | Signed | Proof | Shown | Bye

_decoder: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)
_encoder = msgspec.msgpack.Encoder()


def licence_message(chain_id: bytes, order: bytes, certificate_hash: bytes) -> bytes:
    """What the issuer's operations key signs: its service for this order is behind this
    certificate."""
    return _licence_hash(chain_id, order, certificate_hash)


def proof_message(chain_id: bytes, order: bytes, certificate_hash: bytes, nonce: bytes) -> bytes:
    """What the session key signs: its holder is at the other end of this very connection."""
    return _proof_hash(chain_id, order, certificate_hash, nonce)


def said(signed: SignedReceipt) -> Signed:
    return Signed(signed.receipt, signed.signature, signed.units)


def heard(message: Signed) -> SignedReceipt:
    return SignedReceipt(message.receipt, message.signature, message.units)


def last_one(signed: SignedReceipt | None) -> tuple[Signed, ...]:
    return () if signed is None else (said(signed),)


def tick_of(message: Shown) -> Tick:
    return Tick(message.units, message.digests, message.meter_root, message.microhours)


class SessionEnded(Exception):
    """The connection is gone, or was silent for too long; a session goes on with another one."""


class Link:
    """One connection. Nothing but `SessionEnded` and `Broken` leaves it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: Message) -> None:
        data = _encoder.encode(message)
        try:
            self._writer.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)
            async with asyncio.timeout(ANSWER_S):
                await self._writer.drain()
        except TimeoutError:
            raise SessionEnded("the other side does not read") from None
        except OSError as error:
            raise SessionEnded(str(error) or type(error).__name__) from None

    async def receive(self, seconds: float = ANSWER_S) -> Said:
        """The next message; a goodbye with a fault raises Broken."""
        try:
            async with asyncio.timeout(seconds):
                length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
                if length > FRAME_BYTES_MAX:
                    raise SessionEnded(f"a frame of {length} bytes, {FRAME_BYTES_MAX} are read")
                data = await self._reader.readexactly(length)
        except TimeoutError:
            raise SessionEnded(f"nothing came for {seconds:g} s") from None
        except asyncio.IncompleteReadError:
            raise SessionEnded("the connection was closed") from None
        except OSError as error:
            raise SessionEnded(str(error) or type(error).__name__) from None
        try:
            message = _decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise SessionEnded(f"no message: {error}") from None
        if isinstance(message, Bye) and message.fault:
            raise Broken(_fault_of(message.fault), f"the other side says: {_plain(message.detail)}")
        return message

    async def end(self, bye: Bye | None = None) -> None:
        """Say why, where somebody listens, and close."""
        try:
            if bye is not None:
                await self.send(bye)
        except SessionEnded:
            pass
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except (TimeoutError, OSError):
            self.abort()

    def abort(self) -> None:
        """Close without a word; what was not sent yet is lost."""
        with suppress(AttributeError):  # of Python 3.11.2, where TLS was closed twice before
            self._writer.transport.abort()


def bye_of(broken: Broken) -> Bye:
    return Bye(broken.fault.value, broken.detail[:256])


def _plain(text: str) -> str:
    """What a stranger says, fit for a log and a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _fault_of(text: str) -> Fault:
    try:
        return Fault(text)
    except ValueError:
        raise SessionEnded(f"ended by the other side: {text!r}") from None
