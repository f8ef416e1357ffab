"""hosts.toml: the hosts of a network, and what its genesis says beside them.

    [network]
    name = "harbour"
    kind = "test"                   # or "main"; addresses begin with mrst1 or mrs1
    parameters = { epoch_blocks = 500 }                     # what differs from the usual
    economy = { lower_ms = 43_200_000 }                     # the same, of the economy

    [regulator]                     # how many keys it has, and how many sign; 2 of 3 unless given
    keys = 3
    needed = 2

    [[host]]                        # one a validator, four at least
    licence = "acme"
    name = "Acme Compute"
    jurisdiction = "Iceland"
    p2p = "198.51.100.7:8740"       # where the others dial it
    listen = "10.0.0.7:8740"        # where it listens; every interface else, loopback if p2p is
    api = "127.0.0.1:8640"
    operations = "127.0.0.1:8840"
    bond = { bolt = "60", coral = "60" }                    # of other issuers' coins

    [[host.capacity]]               # a host with capacity issues coins
    device_class = "h100x8"
    devices = 12
    region = "north-1"
    workloads = ["training", "inference"]

    [[attestor]]                    # of three groups at least
    id = "meridian"
    name = "Meridian Audit"
    group = "meridian-group"

    [[holder]]                      # who has coins at the beginning, if anybody
    name = "alice"
    address = "mrst1…"              # else a new wallet is made
    coins = { acme = "1000" }

    [[factor]]                      # the standard, where it is not the usual one
    device_class = "h100x8"
    workload = "training"
    factor = 8_000_000

    [[reference]]                   # of a workload that is not among the usual ones, or otherwise
    workload = "training"
    units = 30_000

Everything is checked before anything is made; unknown keys are errors, because a misspelt one must
not be ignored.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import msgspec
from msgspec import Meta

from cli.errors import CliError, not_found, usage_error
from cli.units import parse_amount
from ledger.address import HRP_BY_NETWORK, decode_address
from ledger.codec import Slug
from ledger.economy.attestor import ATTESTORS_MAX
from ledger.economy.capacity import DEVICES_OF_ISSUER_MAX, Workloads
from ledger.economy.licence import Name
from ledger.economy.regulator import REGULATOR_KEYS_MAX
from ledger.economy.standard import FACTOR_MAX, UNITS_MAX
from ledger.genesis import ISSUERS_MIN
from ledger.reasons import Invalid
from ledger.validators import VALIDATORS_MAX, VALIDATORS_MIN
from node.config import Address, parse_address, parse_listen

HOSTS_BYTES_MAX = 256 * 1024
"""Far above a file with 32 hosts; a wrong path to something huge is not read into memory."""
HOLDERS_MAX = 1_000
CLASSES_MAX = 32

_PATH = re.compile(r" - at `\$\.?([^`]*)`")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the tables of the file."""


class CapacityTable(_Table, frozen=True):
    """Devices of one class that an issuer commits for a year."""

    device_class: Slug
    devices: Annotated[int, Meta(ge=1, le=DEVICES_OF_ISSUER_MAX)]
    region: Slug
    workloads: Workloads


class Host(_Table, frozen=True):
    """A validator on a host of its own."""

    licence: Slug
    name: Name
    jurisdiction: Name
    p2p: str
    listen: str = ""
    api: str = ""
    operations: str = ""
    capacity: Annotated[tuple[CapacityTable, ...], Meta(max_length=CLASSES_MAX)] = ()
    bond: dict[Slug, str] = msgspec.field(default_factory=dict)
    """What it puts up in other issuers' coins; they exist for this."""

    @property
    def listens(self) -> str:
        """As others reach it from outside, unless the network never leaves this machine."""
        if self.listen:
            return self.listen
        address = parse_address(self.p2p)
        found = _literal(address)
        if found is not None and found.is_loopback:
            return self.p2p
        return str(Address("::" if ":" in address.host else "0.0.0.0", address.port))

    @property
    def addresses(self) -> dict[str, str]:
        """Where the node listens, by section of marsa.toml."""
        given = {"p2p": self.listens, "api": self.api, "operations": self.operations}
        return {section: text for section, text in given.items() if text}


class AttestorTable(_Table, frozen=True):
    """Vouches for all capacity in the file."""

    id: Slug
    name: Name
    group: Slug


class HolderTable(_Table, frozen=True):
    """Who has coins at the beginning."""

    name: Slug
    coins: dict[Slug, str]
    address: str | None = None


class FactorTable(_Table, frozen=True):
    """What an hour of a device class is worth at a workload, in millionths of a coin."""

    device_class: Slug
    workload: Slug
    factor: Annotated[int, Meta(ge=1, le=FACTOR_MAX)]


class ReferenceTable(_Table, frozen=True):
    """Units of a workload's reference job that are one standard compute hour."""

    workload: Slug
    units: Annotated[int, Meta(ge=1, le=UNITS_MAX)]


class NetworkTable(_Table, frozen=True):
    """What the network is called, and its parameters where they are not the usual ones."""

    name: Slug
    kind: Literal["main", "test"] = "test"
    parameters: dict[str, int] = msgspec.field(default_factory=dict)
    economy: dict[str, int] = msgspec.field(default_factory=dict)


class RegulatorTable(_Table, frozen=True):
    """How many keys the regulator has, and how many must sign."""

    keys: Annotated[int, Meta(ge=1, le=REGULATOR_KEYS_MAX)] = 3
    needed: Annotated[int, Meta(ge=1, le=REGULATOR_KEYS_MAX)] = 2


class Hosts(_Table, frozen=True):
    """The whole file."""

    network: NetworkTable
    host: tuple[Host, ...]
    regulator: RegulatorTable = RegulatorTable()
    attestor: Annotated[tuple[AttestorTable, ...], Meta(max_length=ATTESTORS_MAX)] = ()
    holder: Annotated[tuple[HolderTable, ...], Meta(max_length=HOLDERS_MAX)] = ()
    factor: tuple[FactorTable, ...] = ()
    reference: tuple[ReferenceTable, ...] = ()

    @property
    def hrp(self) -> str:
        return HRP_BY_NETWORK[self.network.kind]

    @property
    def issuers(self) -> list[str]:
        return [host.licence for host in self.host if host.capacity]


def bad_hosts(path: Path, detail: str) -> CliError:
    """Something in the file is wrong."""
    return usage_error("bad_hosts", f"{path}: {detail}", f"correct {path}; nothing was made")


def load(path: Path) -> Hosts:
    """The file, checked as far as it can be without keys; raises CliError."""
    if not path.is_file():
        detail = f"there is no file {path}"
        raise not_found("no_hosts", detail, "docs/NETWORK.md shows one to begin with")
    with path.open("rb") as file:
        data = file.read(HOSTS_BYTES_MAX + 1)
    if len(data) > HOSTS_BYTES_MAX:
        raise bad_hosts(path, f"it is larger than {HOSTS_BYTES_MAX} bytes")
    try:
        hosts = msgspec.convert(tomllib.loads(data.decode()), Hosts)
        _check(hosts)
    except UnicodeDecodeError:
        raise bad_hosts(path, "it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise bad_hosts(path, str(error)) from None
    except msgspec.ValidationError as error:
        raise bad_hosts(path, _placed(str(error))) from None
    except _Fault as fault:
        raise bad_hosts(path, str(fault)) from None
    return hosts


class _Fault(Exception):
    """What is wrong, and where."""


def _check(hosts: Hosts) -> None:
    count, kind = len(hosts.host), hosts.network.kind
    if not VALIDATORS_MIN <= count <= VALIDATORS_MAX:
        _fail("host", f"there are {count}, a network has {VALIDATORS_MIN} to {VALIDATORS_MAX}")
    _check_distinct("licence", (host.licence for host in hosts.host))
    _check_distinct("host name", (host.name.casefold() for host in hosts.host))
    _check_distinct("attestor", (item.id for item in hosts.attestor))
    _check_distinct("holder", (item.name for item in hosts.holder))
    for host in hosts.host:
        _check_addresses(host)
        _check_coins(f"host '{host.licence}': bond", host.bond, hosts.issuers)
    _check_distinct("p2p address", (str(parse_address(host.p2p)) for host in hosts.host))
    if len(hosts.issuers) < ISSUERS_MIN:
        _fail("host", f"{len(hosts.issuers)} of them have capacity, {ISSUERS_MIN} must")
    for holder in hosts.holder:
        _check_holder(holder, hosts.issuers, HRP_BY_NETWORK[kind])


def _check_addresses(host: Host) -> None:
    where = f"host '{host.licence}'"
    try:
        address = parse_address(host.p2p)
    except ValueError as error:
        _fail(f"{where}: p2p", str(error))
    found = _literal(address)
    if address.port == 0 or (found is not None and found.is_unspecified):
        _fail(f"{where}: p2p", f"others cannot dial {address}; it is `listen` that may be so wide")
    for key, text in (("listen", host.listen), ("api", host.api), ("operations", host.operations)):
        try:
            listen = parse_listen(text) if text else None
        except ValueError:
            _fail(f"{where}: {key}", f"{text!r} is no address of a machine, as in 127.0.0.1:8640")
        if key != "listen" and listen is not None and not listen.is_loopback:
            _fail(f"{where}: {key}", f"{text} is not loopback; a proxy on the host makes it public")


def _check_holder(holder: HolderTable, issuers: list[str], hrp: str) -> None:
    where = f"holder '{holder.name}'"
    _check_coins(f"{where}: coins", holder.coins, issuers)
    if not holder.coins:
        _fail(where, "it has no coins")
    if holder.address is not None:
        try:
            decode_address(holder.address, hrp)
        except Invalid as error:
            _fail(f"{where}: address", error.detail)


def _check_coins(where: str, coins: dict[str, str], issuers: list[str]) -> None:
    for issuer, amount in coins.items():
        if issuer not in issuers:
            _fail(where, f"'{issuer}' is no host with capacity")
        try:
            parse_amount(amount)
        except CliError as error:
            _fail(f"{where} of '{issuer}'", error.message)


def _check_distinct(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            _fail(f"{what} '{name}'", f"it is given {count} times")


def _fail(where: str, detail: str) -> NoReturn:
    raise _Fault(f"{where}: {detail}")


def _literal(address: Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for a name."""
    try:
        return ipaddress.ip_address(address.host)
    except ValueError:
        return None


def _placed(text: str) -> str:
    """A sentence of msgspec with its place in front, tables counted from one as people do."""
    match = _PATH.search(text)
    sentence = _PATH.sub("", text).replace("field `", "key `").replace("Object", "the table")
    if match is None or not match[1]:
        return sentence
    place = re.sub(r"\[(\d+)\]", lambda found: f" {int(found[1]) + 1}", match[1])
    return f"{place.replace('.', ': ')}: {sentence}"
