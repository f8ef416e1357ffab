"""What attestors say on a panel: on a challenge of capacity, on a dispute of an order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from cli.errors import not_found, usage_error

if TYPE_CHECKING:
    from cli.nodes import Node
    from node.api import economy_schemas as schemas

F = TypeVar("F", bound=Callable[..., object])

attestor_option = click.option(
    "--attestor", required=True, metavar="NAME", help="Who speaks; its key signs."
)


def verdict_option(what: str) -> Callable[[F], F]:
    """--uphold or --dismiss; `what` says what either means."""
    return click.option("--uphold/--dismiss", "upheld", default=None, help=what)


def need_verdict(upheld: bool | None) -> bool:
    """Raises CliError where neither was given: no word of a judge is a default."""
    if upheld is None:
        raise usage_error("usage", "say how you rule: --uphold or --dismiss")
    return upheld


def need_attestor(node: Node, name: str) -> schemas.Attestor:
    """The attestor of this name; raises CliError."""
    found = {item.id: item for item in node.client.economy.attestors()}
    if name not in found:
        known = ", ".join(found) or "none"
        raise not_found("unknown_attestor", f"there is no attestor '{name}' (attestors: {known})")
    return found[name]


class Vote(Protocol):
    """One of those that a node tells."""

    @property
    def upheld(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Word:
    """An attestor's, and how the panel stands with it."""

    attestor: str
    upheld: bool
    votes: Counter[bool]

    @classmethod
    def after(cls, votes: Iterable[Vote], attestor: str, upheld: bool) -> Word:
        return cls(attestor, upheld, Counter([*(vote.upheld for vote in votes), upheld]))

    @property
    def json(self) -> dict[str, object]:
        return {
            "attestor": self.attestor,
            "upheld": self.upheld,
            "votes_upheld": self.votes[True],
            "votes_dismissed": self.votes[False],
        }

    def text(self, what: str) -> str:
        says = "upholds" if self.upheld else "dismisses"
        tally = f"{self.votes[True]} to uphold, {self.votes[False]} to dismiss"
        return f"'{self.attestor}' {says} {what}: {tally}"
