"""Encrypted wallet files: round trip, wrong passwords, every kind of tampering."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cli.errors import CliError, ExitCode
from cli.home import read_private, wallets_dir, write_private
from cli.wallet import keystore as ks
from cli.wallet import store

SECRET = bytes(range(32))
KEYS = (b"\x11" * 32, b"\x22" * 32)
PASSWORD = "correct horse ünïcode"


@pytest.fixture(scope="module")
def keystore() -> ks.Keystore:
    return ks.encrypt(SECRET, PASSWORD, path="m/44'", pubkeys=KEYS, description="savings")


def test_opens_with_its_password_after_a_trip_through_bytes(keystore: ks.Keystore) -> None:
    """encrypt, dump, load, decrypt gives the secret."""
    assert ks.decrypt(ks.load(ks.dump(keystore), "f"), PASSWORD) == SECRET


def test_has_the_shape_of_eip_2335(keystore: ks.Keystore) -> None:
    """Members and names of the standard, with our functions in them; the secret is nowhere."""
    data = json.loads(ks.dump(keystore))
    assert {"crypto", "path", "pubkey", "uuid", "version", "description"} <= set(data)
    assert data["version"] == 4
    functions = {part: data["crypto"][part]["function"] for part in data["crypto"]}
    assert functions == {"kdf": "argon2id", "checksum": "sha256", "cipher": "aes-256-gcm"}
    assert all({"function", "params", "message"} == set(p) for p in data["crypto"].values())
    assert SECRET.hex() not in ks.dump(keystore).decode()


def test_password_is_one_password_however_it_was_typed(keystore: ks.Keystore) -> None:
    """NFKD: composed and decomposed letters and control characters make no difference."""
    decomposed = "correct horse u\u0308ni\u0308code\x07"
    assert ks.decrypt(keystore, decomposed) == SECRET


def test_wrong_password_is_told_from_damage(keystore: ks.Keystore) -> None:
    """The checksum says 'wrong password' with exit 7."""
    with pytest.raises(CliError) as caught:
        ks.decrypt(keystore, PASSWORD + "x")
    assert (caught.value.code, caught.value.exit_code) == ("wrong_password", ExitCode.LOCKED)


@pytest.mark.parametrize(
    "path",
    [
        "uuid",
        "path",
        "pubkey",
        "pubkeys.0",
        "pubkeys.1",
        "description",
        "crypto.kdf.params.salt",
        "crypto.cipher.params.nonce",
        "crypto.cipher.message",
        "crypto.checksum.message",
    ],
)
def test_every_altered_field_is_refused(keystore: ks.Keystore, path: str) -> None:
    """Change one character of each string in the file: decrypting raises, nothing is returned."""
    data = json.loads(ks.dump(keystore))
    *parents, last = path.split(".")
    holder = data
    for part in parents:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    at = int(last) if isinstance(holder, list) else last
    value = holder[at]
    holder[at] = ("0" if value[0] != "0" else "1") + value[1:]
    with pytest.raises(CliError) as caught:
        ks.decrypt(ks.load(json.dumps(data).encode(), "f"), PASSWORD)
    assert caught.value.code in {"wrong_password", "altered_keystore"}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("memory_kib", 1 << 30),
        ("memory_kib", 8),
        ("iterations", 0),
        ("iterations", 10**6),
        ("lanes", 10**4),
        ("length", 32),
        ("salt", "00"),
    ],
)
def test_hostile_parameters_are_refused_before_they_cost(
    keystore: ks.Keystore, member: str, value: object
) -> None:
    """A file may ask neither for all memory nor for no protection."""
    data = json.loads(ks.dump(keystore))
    data["crypto"]["kdf"]["params"][member] = value
    with pytest.raises(CliError, match="bad_keystore"):
        ks.load(json.dumps(data).encode(), "f")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 5_000, b'{"version": 3}'])
def test_other_files_are_no_wallets(data: bytes) -> None:
    """Bytes of any kind: a typed error that names the file."""
    with pytest.raises(CliError, match=r"bad_keystore.*my-file"):
        ks.load(data, "my-file")


def test_store_writes_private_files_and_never_overwrites(marsa_home: Path) -> None:
    """0600 in a 0700 directory; a second wallet of one name is refused and the first stays."""
    wallet = store.create("alice", SECRET, PASSWORD)
    assert wallet.file.stat().st_mode & 0o777 == 0o600
    assert wallets_dir().stat().st_mode & 0o777 == 0o700
    before = wallet.file.read_bytes()
    with pytest.raises(CliError, match="file_exists"):
        store.create("alice", bytes(32), PASSWORD)
    assert wallet.file.read_bytes() == before
    assert store.names() == ["alice"]
    assert not list(wallets_dir().glob(".*"))


def test_new_addresses_keep_the_old_ones(marsa_home: Path) -> None:
    """A second address extends the list; unlocking checks that keys and addresses fit."""
    wallet = store.create("alice", SECRET, PASSWORD)
    longer = store.add_address(wallet, PASSWORD)
    assert longer.public_keys[:1] == wallet.public_keys
    assert tuple(key.public for key in longer.unlock(PASSWORD)) == longer.public_keys
    assert store.load("alice").count == 2


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "Alice", "ünï", "a" * 33, "a\n"])
def test_names_cannot_leave_the_directory(name: str) -> None:
    """A wallet's name is a plain file name or refused."""
    with pytest.raises(CliError, match="bad_name"):
        store.create(name, SECRET, PASSWORD)


def test_files_that_others_may_read_are_refused(tmp_path: Path) -> None:
    """As ssh does: 0640 is an error with the command that mends it."""
    file = tmp_path / "secret"
    write_private(file, b"x", replace=False)
    assert read_private(file) == b"x"
    file.chmod(0o640)
    with pytest.raises(CliError, match="file_not_private") as caught:
        read_private(file)
    assert caught.value.hint == f"chmod 600 {file}"


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error before the rename (here: fsync) keeps the old content and leaves no litter."""
    file = tmp_path / "d" / "wallet"
    write_private(file, b"old", replace=False)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            write_private(file, b"new", replace=True)
    assert file.read_bytes() == b"old"
    assert [entry.name for entry in file.parent.iterdir()] == ["wallet"]
