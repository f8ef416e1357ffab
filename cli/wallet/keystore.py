"""Encrypted wallet files: JSON of the EIP-2335 shape with Argon2id and AES-256-GCM.

The secret is the entropy of the 24 words. Argon2id yields 64 bytes: the first half encrypts, the
second half keys the checksum SHA-256(half, ciphertext), which tells a wrong password from a
damaged file without touching the secret. Everything public (uuid, path, public keys) is
authenticated as associated data: whoever can write the file cannot slip in an address of theirs
without the next unlock noticing.

Limits on the parameters of Argon2id keep a hostile file from eating the machine, and floors keep
one from being so weak that it is a trap.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
import uuid as uuid_module
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from cli.errors import CliError, ExitCode
from cli.wallet.mnemonic import ENTROPY_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 4  # of EIP-2335
PUBLIC_KEYS_MAX = 1_000
PASSWORD_CHARS_MIN = 8

Hex = Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{2})*\Z", max_length=256)]
Salt = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", max_length=64)]
HexKey = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", max_length=64)]


class KdfParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Argon2id; memory in KiB. The default takes about 0.1 s and 64 MiB."""

    salt: Salt
    memory_kib: Annotated[int, Meta(ge=8 * 1024, le=1024 * 1024)] = 64 * 1024
    iterations: Annotated[int, Meta(ge=1, le=16)] = 3
    lanes: Annotated[int, Meta(ge=1, le=16)] = 4
    length: Literal[64] = 64


class Kdf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    params: KdfParams
    function: Literal["argon2id"] = "argon2id"
    message: Literal[""] = ""


class NoParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """EIP-2335 has an object here, without members."""


class Checksum(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    message: HexKey
    function: Literal["sha256"] = "sha256"
    params: NoParams = NoParams()


class CipherParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nonce: Annotated[str, Meta(pattern=r"^[0-9a-f]{24}\Z", max_length=24)]


class Cipher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    params: CipherParams
    message: Hex
    function: Literal["aes-256-gcm"] = "aes-256-gcm"


class Crypto(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kdf: Kdf
    checksum: Checksum
    cipher: Cipher


class Keystore(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wallet file. `pubkey` is the first of `pubkeys`, whose index is that of the address."""

    crypto: Crypto
    uuid: Annotated[str, Meta(max_length=36)]
    path: Annotated[str, Meta(max_length=128)]
    """Of the addresses, without the last number."""
    pubkey: HexKey
    pubkeys: Annotated[tuple[HexKey, ...], Meta(min_length=1, max_length=PUBLIC_KEYS_MAX)]
    description: Annotated[str, Meta(max_length=200)] = ""
    version: Literal[4] = 4


def encrypt(
    secret: bytes,
    password: str,
    *,
    path: str,
    pubkeys: tuple[bytes, ...],
    description: str = "",
) -> Keystore:
    """A new keystore with fresh salt, nonce and uuid."""
    kdf = KdfParams(salt=secrets.token_hex(32))
    nonce = secrets.token_bytes(12)
    keys = tuple(key.hex() for key in pubkeys)
    uuid = str(uuid_module.uuid4())
    encryption_key, checksum_key = _derive(password, kdf)
    message = _aead(encryption_key).encrypt(
        nonce, secret, _associated(uuid, path, keys, description)
    )
    return Keystore(
        crypto=Crypto(
            kdf=Kdf(kdf),
            checksum=Checksum(sha256(checksum_key + message).hexdigest()),
            cipher=Cipher(CipherParams(nonce.hex()), message.hex()),
        ),
        uuid=uuid,
        path=path,
        pubkey=keys[0],
        pubkeys=keys,
        description=description,
    )


def decrypt(keystore: Keystore, password: str) -> bytes:
    """The secret; raises CliError for a wrong password and for a file that was altered."""
    from cryptography.exceptions import InvalidTag

    encryption_key, checksum_key = _derive(password, keystore.crypto.kdf.params)
    message = bytes.fromhex(keystore.crypto.cipher.message)
    found = sha256(checksum_key + message).hexdigest()
    if not hmac.compare_digest(found, keystore.crypto.checksum.message):
        raise CliError(
            "wrong_password",
            "the password does not open the wallet",
            hint="try again; if you are sure of it, the file is damaged: restore your backup",
            exit_code=ExitCode.LOCKED,
        )
    public = _associated(keystore.uuid, keystore.path, keystore.pubkeys, keystore.description)
    nonce = bytes.fromhex(keystore.crypto.cipher.params.nonce)
    try:
        secret = _aead(encryption_key).decrypt(nonce, message, public)
    except InvalidTag:
        raise _altered("what is public in it is not what was saved with the password") from None
    if len(secret) != ENTROPY_BYTES or keystore.pubkey != keystore.pubkeys[0]:
        raise _altered("its parts do not fit together")
    return secret


def dump(keystore: Keystore) -> bytes:
    """The file's bytes."""
    return msgspec.json.format(msgspec.json.encode(keystore), indent=2) + b"\n"


def load(data: bytes, source: str) -> Keystore:
    """Read a file's bytes; `source` is named in errors."""
    try:
        return msgspec.json.decode(data, type=Keystore)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CliError(
            "bad_keystore",
            f"{source} is not a wallet: {error}",
            hint="restore your backup, or: marsa wallet import NAME",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def normalised(password: str) -> bytes:
    """NFKD without control characters, as EIP-2335 asks: one password, however it was typed."""
    text = unicodedata.normalize("NFKD", password)
    return "".join(char for char in text if unicodedata.category(char) != "Cc").encode()


def _derive(password: str, params: KdfParams) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    derived = Argon2id(
        salt=bytes.fromhex(params.salt),
        length=params.length,
        iterations=params.iterations,
        lanes=params.lanes,
        memory_cost=params.memory_kib,
    ).derive(normalised(password))
    return derived[:32], derived[32:]


def _aead(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _associated(uuid: str, path: str, pubkeys: tuple[str, ...], description: str) -> bytes:
    return msgspec.json.encode([VERSION, uuid, path, pubkeys, description])


def _altered(detail: str) -> CliError:
    return CliError(
        "altered_keystore",
        f"the wallet file was altered: {detail}",
        hint="do not use its addresses; restore your backup, or: marsa wallet import NAME",
        exit_code=ExitCode.CHECK_FAILED,
    )
