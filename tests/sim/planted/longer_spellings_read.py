"""Any encoding that means the same is read: one transaction has many bytes and many hashes.

Had by: Bitcoin before BIP 66 and 146, whose signatures had several spellings each.
"""

from __future__ import annotations

import msgspec

from ledger.codec import T, _decoder
from ledger.reasons import Invalid, Reason
from tests.sim.planting import Planted


def decode_payload(data: bytes, cls: type[T], *, size_max: int) -> T:
    if len(data) > size_max:
        raise Invalid(Reason.TOO_LARGE, f"{len(data)} bytes, at most {size_max} are read")
    try:
        value: T = _decoder(cls).decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        text = str(error)
        trailing = "trailing characters" in text
        raise Invalid(Reason.TRAILING_BYTES if trailing else Reason.MALFORMED, text) from None
    return value


PLANTED = Planted(
    target="ledger.codec:decode_payload",
    wrong=decode_payload,
    test="tests/ledger/test_codec.py::test_longer_spellings_are_refused",
)
