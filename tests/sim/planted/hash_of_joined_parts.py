"""Parts are joined before they are hashed: two lists of transactions have one digest.

Had by: Hyperledger Fabric (CVE-2023-46132), whose blocks could be linked crosswise.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from ledger.crypto import _prefix
from tests.sim.planting import Planted


def tagged_hash(name: str) -> Callable[..., bytes]:
    prefix = _prefix(name)

    def digest(*parts: bytes) -> bytes:
        return sha256(prefix + b"".join(parts)).digest()

    return digest


PLANTED = Planted(
    target="ledger.crypto:tagged_hash",
    wrong=tagged_hash,
    test="tests/ledger/test_crypto.py::test_no_two_splittings_share_a_digest",
)
