"""`marsa devnet pause | resume | partition | heal | delay`: one fault at a time, by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.errors import usage_error
from cli.output import Waiting, emit
from cli.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.devnet.links import Rule
    from cli.devnet.state import Place

KIB = 1_024
POLL_S = 0.1

named = click.option("--name", metavar="NAME", help="Which devnet; the only one, or 'default'.")


@click.command(
    "pause",
    cls=Command,
    help=f"""{examples("marsa devnet pause val0", "marsa devnet pause 1 2")}

Stop nodes where they are (SIGSTOP). Their peers hear nothing of it, as when a machine hangs. They
go on with `resume`; `status` names them, and `down` ends them all the same.
""",
)
@click.argument("nodes", nargs=-1, required=True, metavar="NODE…")
@named
def pause(nodes: tuple[str, ...], name: str | None) -> None:
    """All or none."""
    from cli.devnet import control, faults, state

    place = state.find(name)
    targets = faults.find_nodes(place, nodes)
    with control.exclusive(place.devnet.name):
        faults.pause(place, targets)
    names = [node.name for node in targets]
    begin = f"marsa devnet resume {' '.join(names)}{place.devnet.option}"
    what = f"paused: {', '.join(names)}; go on with: {begin}"
    emit("marsa.devnet.pause/1", {"nodes": names}, what)


@click.command(
    "resume",
    cls=Command,
    help=f"""{examples("marsa devnet resume val0", "marsa devnet resume 1 2")}

Let paused nodes go on, all of them when none is named.
""",
)
@click.argument("nodes", nargs=-1, metavar="[NODE…]")
@named
def resume(nodes: tuple[str, ...], name: str | None) -> None:
    """Nodes that are not paused take no notice."""
    from cli.devnet import control, faults, state

    place = state.find(name)
    with control.exclusive(place.devnet.name):
        if nodes:
            targets = faults.find_nodes(place, nodes)
        else:
            targets = [item.node for item in control.look(place) if item.is_paused]
        faults.resume(place, targets)
    names = [node.name for node in targets]
    text = f"running again: {', '.join(names)}" if names else "no node was paused"
    emit("marsa.devnet.resume/1", {"nodes": names}, text)


@click.command(
    "partition",
    cls=Command,
    help=f"""{
        examples("marsa devnet partition 0,1/2,3 --for 10s", "marsa devnet partition 0 --one-way")
    }

Cut the links between groups of nodes; those that are not named are one more group. With --one-way
only what the first group says is lost. With --for the links are open again after that time, and
after Ctrl-C; else until `heal`. Needs a devnet made with `up --faults`.
""",
)
@click.argument("groups")
@click.option("--one-way", is_flag=True, help="Cut only the ways out of the first group.")
@click.option("--for", "duration", metavar="DURATION", help="Open them again after this time.")
@named
def partition(groups: str, one_way: bool, duration: str | None, name: str | None) -> None:
    """Replaces an earlier partition; delays stay."""
    from cli.devnet import faults, state

    place = state.find(name)
    faults.need_forwarder(place)
    parted = faults.parse_groups(place, groups)
    length_ms = None if duration is None else parse_duration(duration)
    _change(place, _uncut(_rules(place)) + faults.cut_rules(parted, one_way=one_way))
    if length_ms is not None:
        try:
            _wait(f"parted {parted}", length_ms)
        finally:
            _change(place, _uncut(_rules(place)))
    heal_ = f"marsa devnet heal{place.devnet.option}"
    after = "they are open again" if length_ms is not None else f"open them with: {heal_}"
    arrow = "out of the first group" if one_way else "between the groups"
    value = {"groups": [list(group) for group in parted.members], "one_way": one_way}
    emit("marsa.devnet.partition/1", value, f"links {arrow} {parted} were cut; {after}")


@click.command(
    "delay",
    cls=Command,
    help=f"""{examples("marsa devnet delay val0 200ms", "marsa devnet delay 3 0ms --rate 64")}

Delay everything that a node says and hears, and with --rate let only so many KiB a second pass on
each of its links, until `heal`. Between two nodes the last word counts. Needs a devnet made with
`up --faults`.
""",
)
@click.argument("node")
@click.argument("delay", metavar="DURATION")
@click.option("--rate", type=Number(1, 1 << 20), metavar="KIB", help="KiB a second on each way.")
@named
def delay(node: str, delay: str, rate: int | None, name: str | None) -> None:
    """Replaces what the links of this node were delayed by; a partition stays."""
    from cli.devnet import faults, state
    from cli.devnet.links import DELAY_MS_MAX

    place = state.find(name)
    faults.need_forwarder(place)
    (target,) = faults.find_nodes(place, [node])
    delay_ms = parse_duration(delay)
    if delay_ms > DELAY_MS_MAX:
        longest = f"the longest is {DELAY_MS_MAX // 1_000}s"
        raise usage_error("bad_duration", f"a delay of {delay} is too long", longest)
    slow = faults.slow_rules(place, target, delay_ms=delay_ms, rate=(rate or 0) * KIB)
    _change(place, _undelayed(_rules(place), target.name) + slow)
    narrow = "" if rate is None else f" and let {rate} KiB/s pass"
    value = {"node": target.name, "delay_ms": delay_ms, "rate_kib": rate}
    heal_ = f"marsa devnet heal{place.devnet.option}"
    text = f"links of {target.name} delay by {delay_ms} ms{narrow}; end it with: {heal_}"
    emit("marsa.devnet.delay/1", value, text)


@click.command(
    "heal",
    cls=Command,
    help=f"""{examples("marsa devnet heal", "marsa devnet heal --name big")}

Open all links again and end all delays. Paused nodes stay paused: see `resume`.
""",
)
@named
def heal(name: str | None) -> None:
    """Nodes dial again within ten seconds."""
    from cli.devnet import faults, state

    place = state.find(name)
    before = len(_rules(place))
    faults.change_links(place, heal=True)
    text = "all links are open; nodes meet again within 10 s" if before else "all links were open"
    emit("marsa.devnet.heal/1", {"healed": before}, text)


def _rules(place: Place) -> tuple[Rule, ...]:
    from cli.devnet import faults

    return faults.change_links(place).rules


def _uncut(rules: Sequence[Rule]) -> list[Rule]:
    from msgspec.structs import replace

    return [replace(rule, cut=False) for rule in rules]


def _undelayed(rules: Sequence[Rule], node: str) -> list[Rule]:
    """As they are, but for delays and rates on the links of one node."""
    from msgspec.structs import replace

    return [
        replace(rule, delay_ms=0, rate=0) if node in (rule.source, rule.target) else rule
        for rule in rules
    ]


def _change(place: Place, rules: Sequence[Rule]) -> None:
    """All at once."""
    from cli.devnet import faults

    faults.change_links(place, faults.merge(rules), heal=True)


def _wait(what: str, length_ms: int) -> None:
    with Waiting(what, length_ms) as waiting:
        while waiting.left_ms:
            waiting.because("Ctrl-C opens the links")
            time.sleep(min(POLL_S, waiting.left_ms / 1_000))
