"""Words and keys against the published vectors of BIP-39 and SLIP-0010."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import CliError
from cli.wallet import derivation, mnemonic
from ledger.crypto import SigningKey

SEED_1 = "000102030405060708090a0b0c0d0e0f"
SEED_2 = (
    "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2"
    "9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542"
)
# (seed, path, chain code, private, public) of SLIP-0010, "Test vector 1 and 2 for ed25519".
SLIP10 = [
    (
        SEED_1,
        "m",
        "90046a93de5380a72b5e45010748567d5ea02bbf6522f979e05c0d8d8ca9fffb",
        "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7",
        "a4b2856bfec510abab89753fac1ac0e1112364e7d250545963f135f2a33188ed",
    ),
    (
        SEED_1,
        "m/0'",
        "8b59aa11380b624e81507a27fedda59fea6d0b779a778918a2fd3590e16e9c69",
        "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3",
        "8c8a13df77a28f3445213a0f432fde644acaa215fc72dcdf300d5efaa85d350c",
    ),
    (
        SEED_1,
        "m/0'/1'/2'/2'/1000000000'",
        "68789923a0cac2cd5a29172a475fe9e0fb14cd6adb5ad98a3fa70333e7afa230",
        "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793",
        "3c24da049451555d51a7014a37337aa4e12d41e485abccfa46b47dfb2af54b7a",
    ),
    (
        SEED_2,
        "m",
        "ef70a74db9c3a5af931b5fe73ed8e1a53464133654fd55e7a66f8570b8e33c3b",
        "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012",
        "8fe9693f8fa62a4305a140b9764c5ee01e455963744fe18204b4fb948249308a",
    ),
    (
        SEED_2,
        "m/0'/2147483647'/1'/2147483646'/2'",
        "5d70af781f3a37b829f0d060924d5e960bdc02e85423494afc0b1a41bbe196d4",
        "551d333177df541ad876a60ea71f00447931c0a9da16f227c11ea080d7391b8d",
        "47150c75db263559a70d5778bf36abbab30fb061ad69f69ece61a72b0cfa4fc0",
    ),
]


@pytest.mark.parametrize(("seed", "path", "chain_code", "private", "public"), SLIP10)
def test_derives_as_slip_0010(
    seed: str, path: str, chain_code: str, private: str, public: str
) -> None:
    """Private key, chain code and public key of the official vectors."""
    node = derivation.derive_node(bytes.fromhex(seed), path)
    assert [part.hex() for part in node] == [private, chain_code]
    assert SigningKey(node[0]).public.hex() == public


@pytest.mark.parametrize(
    "path", ["", "0'", "m/", "m/0", "m/0'/", "m/-1'", "m/2147483648'", "m/０'", "m" + "/0'" * 17]
)
def test_refuses_other_paths(path: str) -> None:
    """Children that are not hardened, out of range, too deep or not a path at all."""
    with pytest.raises(CliError, match="bad_path"):
        derivation.derive(bytes(64), path)


# (entropy, words) of BIP-39's English vectors with 24 words; their seeds use another passphrase.
BIP39 = [
    (bytes(32), "abandon " * 23 + "art"),
    (b"\x7f" * 32, "legal winner thank year wave sausage worth useful " * 2
     + "legal winner thank year wave sausage worth title"),
    (b"\x80" * 32, "letter advice cage absurd amount doctor acoustic avoid " * 2
     + "letter advice cage absurd amount doctor acoustic bless"),
    (b"\xff" * 32, "zoo " * 23 + "vote"),
]  # fmt: skip


@pytest.mark.parametrize(("entropy", "words"), BIP39)
def test_words_are_those_of_bip_39(entropy: bytes, words: str) -> None:
    """Entropy to words and back, with the official 24-word vectors."""
    assert mnemonic.to_words(entropy) == words.split()
    assert mnemonic.to_entropy(words.upper().replace(" ", "\n ")) == entropy


def test_seed_is_pbkdf2_of_the_words_without_passphrase() -> None:
    """The seed recomputed with hashlib alone."""
    import hashlib

    words = ("abandon " * 23 + "art").encode()
    expected = hashlib.pbkdf2_hmac("sha512", words, b"mnemonic", 2048)
    assert mnemonic.to_seed(bytes(32)) == expected


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 23), st.integers(0, 2047))
def test_a_changed_word_is_found_or_is_another_wallet(
    entropy: bytes, position: int, index: int
) -> None:
    """Replace one word: refused by the checksum, or by chance (1 of 256) other entropy."""
    from mnemonic import Mnemonic

    words = mnemonic.to_words(entropy)
    other = Mnemonic("english").wordlist[index]
    changed = [*words[:position], other, *words[position + 1 :]]
    try:
        found = mnemonic.to_entropy(" ".join(changed))
    except CliError as error:
        assert error.code == "bad_mnemonic"
    else:
        assert (found == entropy) == (changed == words)


def test_errors_name_the_position_and_no_other_word() -> None:
    """A wrong word is named by position with a near word; the other words stay secret."""
    words = mnemonic.to_words(bytes(range(32)))
    wrong = [*words[:4], "abandom", *words[5:]]
    with pytest.raises(CliError) as caught:
        mnemonic.to_entropy(" ".join(wrong))
    assert "word 5" in caught.value.message
    assert "abandon" in caught.value.hint
    shown = f"{caught.value.message} {caught.value.hint}".split()
    assert not set(words[:4] + words[5:]) - {"abandon"} & set(shown)


@pytest.mark.parametrize("text", ["", "abandon " * 12, "abandon " * 24])
def test_refuses_short_and_unchecked(text: str) -> None:
    """Too few words, and 24 words without their checksum."""
    with pytest.raises(CliError, match="bad_mnemonic"):
        mnemonic.to_entropy(text)
