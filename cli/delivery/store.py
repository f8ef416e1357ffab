"""The last receipt of each order on disk, on either side.

A holder stores what it signed before it sends it, a provider what it received before it works on:
so neither a crash nor a copy of a connection makes two receipts with one number.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from cli.delivery.frames import Signed, heard, said
from cli.delivery.rules import SignedReceipt
from cli.errors import CliError
from cli.home import read_private, write_private

SUFFIX = ".receipt"


class DamagedReceipt(Exception):
    """The file is none of ours, was damaged, or cannot be read."""


class ReceiptFile:
    """One order's."""

    def __init__(self, path: Path, order: bytes) -> None:
        self._path = path
        self._order = order

    def load(self) -> SignedReceipt | None:
        """None where nothing was signed yet; raises DamagedReceipt."""
        if not self._path.exists():
            return None
        try:
            signed = heard(msgspec.msgpack.decode(read_private(self._path), type=Signed))
        except (msgspec.MsgspecError, OSError) as error:
            raise DamagedReceipt(f"{self._path}: {error}") from None
        except CliError as error:
            raise DamagedReceipt(error.message) from None
        if signed.receipt.order != self._order:
            raise DamagedReceipt(f"{self._path} is of order {signed.receipt.order.hex()}")
        return signed

    def save(self, signed: SignedReceipt) -> None:
        """On disk when it returns."""
        write_private(self._path, msgspec.msgpack.encode(said(signed)), replace=True)


def receipt_file(directory: Path, order: bytes) -> ReceiptFile:
    return ReceiptFile(directory / f"{order.hex()}{SUFFIX}", order)
