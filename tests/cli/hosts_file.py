"""hosts.toml for tests: four providers, three of which issue coins, and one holder with coins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PROVIDERS = ("acme", "bolt", "coral", "delta")
ISSUERS = PROVIDERS[:3]
HOLDER_COINS = 1_000
BOND_COINS = 300


def host(licence: str, p2p: str, *more: str) -> str:
    """A table of one host; `more` are lines of it."""
    lines = [
        "[[host]]",
        f'licence = "{licence}"',
        f'name = "{licence.capitalize()} Compute"',
        'jurisdiction = "Iceland"',
        f'p2p = "{p2p}"',
        *more,
    ]
    if licence in ISSUERS:
        bond = ", ".join(f'{coin} = "{BOND_COINS}"' for coin in ISSUERS if coin != licence)
        lines += [
            f"bond = {{ {bond} }}",
            "[[host.capacity]]",
            'device_class = "h100x8"',
            "devices = 20",
            'region = "north-1"',
            'workloads = ["training", "inference"]',
        ]
    return "\n".join(lines) + "\n"


def hosts_text(hosts: Sequence[str]) -> str:
    """The whole file."""
    coins = ", ".join(f'{issuer} = "{HOLDER_COINS}"' for issuer in ISSUERS)
    return "\n".join(
        (
            '[network]\nname = "harbour"\n',
            *hosts,
            *(
                f'[[attestor]]\nid = "{name}"\nname = "{name} Audit"\ngroup = "{name}-group"\n'
                for name in ("meridian", "northlight", "plumbline")
            ),
            f'[[holder]]\nname = "alice"\ncoins = {{ {coins} }}\n',
        )
    )


def write_hosts(file: Path, hosts: Sequence[str]) -> Path:
    file.write_text(hosts_text(hosts))
    return file
