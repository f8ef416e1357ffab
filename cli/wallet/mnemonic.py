"""The 24 words (BIP-39) that hold a wallet, and the seed that they stand for.

Only 24 words are made or taken: 256 bits and a checksum byte that finds most typing mistakes.
There is no extra passphrase ("25th word"): a forgotten one loses the coins without a trace, and
the keystore has its own password.
"""

from __future__ import annotations

import difflib
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from cli.errors import usage_error
from cli.units import counted

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS = 24
ENTROPY_BYTES = 32


def to_words(entropy: bytes) -> list[str]:
    """The 24 words of 32 bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"{len(entropy)} bytes of entropy, expected {ENTROPY_BYTES}")
    return _english().to_mnemonic(entropy).split()


def to_entropy(text: str) -> bytes:
    """The 32 bytes of 24 words in any case and spacing; the checksum must be right.

    The error names the position of a wrong word, and never a right one.
    """
    words = unicodedata.normalize("NFKD", text).lower().split()
    if len(words) != WORDS:
        detail = f"{counted(len(words), 'word')}, expected {WORDS}"
        raise usage_error("bad_mnemonic", detail, "write all of them in order, spaces between")
    known = _english().wordlist
    for position, word in enumerate(words, start=1):
        if word not in known:
            near = difflib.get_close_matches(word, known, n=2)
            hint = f"perhaps {' or '.join(near)}" if near else "compare it with your backup"
            raise usage_error("bad_mnemonic", f"word {position} is not in the BIP-39 list", hint)
    if not _english().check(" ".join(words)):
        raise usage_error(
            "bad_mnemonic",
            "the checksum of the words is wrong",
            "a word is another one of the list, or two are in the wrong order",
        )
    return bytes(_english().to_entropy(words))


def to_seed(entropy: bytes) -> bytes:
    """The 64-byte seed from which keys are derived (PBKDF2, 2048 rounds, no passphrase)."""
    return _english().to_seed(" ".join(to_words(entropy)), passphrase="")


@cache
def _english() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")
