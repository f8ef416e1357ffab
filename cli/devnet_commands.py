"""`marsa devnet`: real validators on this machine, with funded accounts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.base import Group, Number, examples, settings
from cli.errors import CliError, ExitCode, usage_error
from cli.output import confirm, emit, has_desktop, table
from cli.units import ACCOUNTS_MAX, parse_amount, parse_period

if TYPE_CHECKING:
    from cli.devnet.plan import Founding
    from cli.devnet.state import Place

LOG_LINES = 50
_TABLE = {
    "pause": ("cli.devnet_faults:pause", "Stop nodes where they are (SIGSTOP)."),
    "resume": ("cli.devnet_faults:resume", "Let paused nodes go on."),
    "partition": ("cli.devnet_faults:partition", "Cut the links between groups of nodes."),
    "delay": ("cli.devnet_faults:delay", "Slow down the links of a node."),
    "add": ("cli.devnet_members:add", "Add a validator: keys, licence, node, seat."),
    "retire": ("cli.devnet_members:retire", "Take a node's seat, then stop it for good."),
    "heal": ("cli.devnet_faults:heal", "Open all links again."),
    "chaos": ("cli.devnet_chaos:chaos", "Seeded faults under load, and a verdict."),
    "snapshot": ("cli.devnet_copies:snapshot", "Copy a whole devnet as it is now."),
    "restore": ("cli.devnet_copies:restore", "Go back to a snapshot."),
}

named = click.option("--name", metavar="NAME", help="Which devnet; the only one, or 'default'.")


@click.command(
    "devnet",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa devnet up", "marsa devnet kill val0 && marsa devnet status")}

Real validators on this machine, with funded accounts whose keys are public. State is on disk and
survives everything but `reset`; nodes listen on 127.0.0.1 only.
""",
)
def devnet() -> None:
    """Group of commands."""


@devnet.command(
    "up",
    short_help="Start a devnet, or resume the one there is.",
    help=f"""{
        examples("marsa devnet up", "marsa devnet up -n 7 --name big --base-port 9640 --detach")
    }

Start a devnet, new or as it was left, whatever ended it. Ready means that block 1 is final on every
node, and that each votes that can. On a terminal the command stays and shows blocks, and Ctrl-C
stops the nodes; with --detach, or without a terminal, it returns when they are ready.
""",
)
@click.option("-n", "validators", type=Number(4, 32), help="Validators; 4 unless given.")
@named
@click.option("--base-port", type=Number(), help="APIs from here on; 8640 unless given.")
@click.option("--accounts", type=Number(2, ACCOUNTS_MAX), help="Funded accounts; 10 unless given.")
@click.option(
    "--seed",
    type=Number(0, (1 << 63) - 1),
    help="Make all keys and the genesis from this number; else they are new each time.",
)
@click.option("--period", metavar="DURATION", help="The unit of delivery; 60s unless given.")
@click.option(
    "--faults/--no-faults",
    default=None,
    help="Lead links through a process that can cut and delay them.",
)
@click.option(
    "--observers", type=Number(0, 16), help="Nodes that follow and serve the API; 0 unless given."
)
@click.option(
    "--issuers/--no-issuers",
    default=None,
    help="Agents of issuers and attestors keep capacity fresh; they do unless told not to.",
)
@click.option("--detach", is_flag=True, help="Return when the nodes are ready.")
def up(
    validators: int | None,
    name: str | None,
    base_port: int | None,
    accounts: int | None,
    seed: int | None,
    period: str | None,
    faults: bool | None,
    observers: int | None,
    issuers: bool | None,
    detach: bool,
) -> None:
    """Make or resume, start, wait, show, and stay if asked to."""
    from cli.devnet import control, plan, show, state, watch

    founding = plan.Founding(
        validators=validators,
        base_port=None if base_port is None else state.check_base_port(base_port),
        accounts=accounts,
        seed=seed,
        period_ms=None if period is None else parse_period(period),
        faults=faults,
        observers=observers,
        agents=issuers,
    )
    chosen = state.choose_name(name)
    with control.exclusive(chosen):
        place = _make_or_resume(chosen, founding)
        control.up(place)
    states = control.look(place)
    emit("marsa.devnet.up/1", show.up_json(place, states), lambda: show.up_text(place, states))
    if not detach and not settings().json and sys.stdin.isatty() and sys.stdout.isatty():
        watch.watch(place)


@devnet.command(
    "down",
    short_help="Stop all nodes; their state stays.",
    help=f"""{examples("marsa devnet down", "marsa devnet down --name big")}

Stop all nodes of a devnet. What they have is kept, and `up` goes on from there.
""",
)
@named
def down(name: str | None) -> None:
    """SIGTERM, then SIGKILL for whoever does not end in time."""
    from cli.devnet import control, state

    place = state.find(name)
    with control.exclusive(place.devnet.name):
        stopped = control.down(place)
    value = {"name": place.devnet.name, "stopped": stopped}
    emit(
        "marsa.devnet.down/1",
        value,
        f"devnet '{place.devnet.name}' is down; nodes stopped: {stopped}",
    )


@devnet.command(
    "ls",
    short_help="The devnets on this machine.",
    help=f"""{examples("marsa devnet ls", "marsa devnet ls --json")}

List the devnets on this machine.
""",
)
def ls() -> None:
    """From their files, and from the processes that are alive."""
    from cli.devnet import control, state

    places = [state.find(name) for name in state.names()]
    rows = [
        {
            "name": place.devnet.name,
            "genesis_hash": place.devnet.genesis_hash,
            "nodes": len(place.devnet.nodes),
            "running": len(control.running(place)),
            "base_port": place.devnet.base_port,
        }
        for place in places
    ]
    lines = [
        [
            str(row["name"]),
            f"{row['running']} of {row['nodes']}",
            str(row["base_port"]),
            str(row["genesis_hash"])[:16],
        ]
        for row in rows
    ]
    headings = ("name", "running", "base port", "genesis")
    empty = "no devnets yet; make one with: marsa devnet up"
    emit("marsa.devnet.ls/1", {"devnets": rows}, table(headings, lines) if lines else empty)


@devnet.command(
    "status",
    short_help="How each node fares, and who is missing.",
    help=f"""{examples("marsa devnet status", "marsa devnet status -w")}

Show each node's state, height and view, and who is missing. With -w again each second until Ctrl-C.
""",
)
@click.option("-w", "is_watched", is_flag=True, help="Again each second; a screen when it changes.")
@named
def status(is_watched: bool, name: str | None) -> None:
    """What the operating system and each API say."""
    from cli.devnet import state, watch

    place = state.find(name)
    for value, text in watch.states(place):
        emit("marsa.devnet.status/1", value, text)
        if not is_watched:
            return


@devnet.command(
    "logs",
    short_help="What nodes have logged, and who serves orders.",
    help=f"""{examples("marsa devnet logs val0", "marsa devnet logs delivery -f")}

Print the last lines of one log, or of all: those of nodes, of 'agents' which keep capacity and
attestations fresh, of 'delivery' which serves orders, and of 'links' which cuts and delays. With -f
go on until Ctrl-C, but with --json, which is one object.
""",
)
@click.argument("whose", metavar="[NAME]", required=False)
@click.option("-f", "follow", is_flag=True, help="Go on as lines come.")
@click.option(
    "--lines", type=Number(0, 10_000), default=LOG_LINES, show_default=True, help="So many."
)
@named
def show_logs(whose: str | None, follow: bool, lines: int, name: str | None) -> None:
    """Each line behind its owner's name, when there are several."""
    from cli.devnet import logs, state

    place = state.find(name)
    chosen = [logs.of_name(place, whose)] if whose else logs.of_place(place)
    if follow and not settings().json:
        logs.follow(chosen, lines)
    tails = {log.name: logs.tail(log, lines) for log in chosen}
    text = "\n".join(logs.line(log, item, chosen) for log in chosen for item in tails[log.name])
    emit("marsa.devnet.logs/1", {"logs": tails}, text)


@devnet.command(
    "open",
    short_help="The explorer and the panel, in a browser.",
    help=f"""{examples("marsa devnet open", "marsa devnet open --json")}

Open the panel of a devnet, where nodes are killed and links cut by a click, and the explorer of
its first node that runs. Where there is no desktop it only prints both addresses. That of the panel
holds a key: whoever knows it can stop these nodes.
""",
)
@named
def open_(name: str | None) -> None:
    """Nothing is opened with --json, or where there is no desktop."""
    from cli.devnet import control, panel, state

    place = state.find(name)
    alive = control.running(place)
    node = next((item for item in place.devnet.nodes if item.name in alive), None)
    if node is None:
        hint = f"marsa devnet up{place.devnet.option}"
        raise CliError("node_down", "no node runs", hint=hint, exit_code=ExitCode.NOT_FOUND)
    if not panel.is_running(place):  # a node that `restart` started has none beside it
        with control.exclusive(place.devnet.name):
            panel.start(place)
            panel.wait(place)
    value = {
        "explorer": f"{node.api}/ui/",
        "panel": f"{panel.address(place)}#{panel.key_of(place)}",
    }
    emit("marsa.devnet.open/1", value, f"Explorer  {value['explorer']}\nPanel     {value['panel']}")
    if not settings().json and has_desktop():
        for address in value.values():
            click.launch(address)


@devnet.command(
    "env",
    short_help="Shell variables that select this devnet.",
    help=f"""{examples('eval "$(marsa devnet env)"', "marsa devnet env --name big")}

Print the variables that make other commands use this devnet.
""",
)
@named
def env(name: str | None) -> None:
    """The first node that is alive."""
    from shlex import quote

    from cli.devnet import control, state
    from cli.home import home

    place = state.find(name)
    alive = control.running(place)
    nodes = place.devnet.nodes
    node = next((item for item in nodes if item.name in alive), nodes[0])
    value = {"MARSA_NODE": node.api, "MARSA_HOME": str(home().absolute())}
    text = "\n".join(f"export {key}={quote(item)}" for key, item in value.items())
    emit("marsa.devnet.env/1", value, text)


@devnet.command(
    "kill",
    short_help="Kill a node at once, as a crash would (SIGKILL).",
    help=f"""{examples("marsa devnet kill val0", "marsa devnet kill acme --name big")}

Kill a node with SIGKILL, named by node or licence. Nothing starts it again by itself.
""",
)
@click.argument("node")
@named
def kill(node: str, name: str | None) -> None:
    """Returns when the process is gone."""
    from cli.devnet import control, state

    place = state.find(name)
    target = place.node(node)
    with control.exclusive(place.devnet.name):
        process = control.kill(place, target)
    value = {"node": target.name, "pid": process.pid}
    emit("marsa.devnet.kill/1", value, f"{target.name} (pid {process.pid}) was killed")


@devnet.command(
    "restart",
    short_help="Start a node, again if it runs, and wait for it.",
    help=f"""{examples("marsa devnet restart val0", "marsa devnet restart val0 --json")}

Start a node, again if it runs, and wait until it has what the others have and votes. A node that
may not vote stays up and follows; the command says why, and exits with 9.
""",
)
@click.argument("node")
@named
def restart(node: str, name: str | None) -> None:
    """Returns when it votes, or when too few others run for it to know where they are."""
    from cli.devnet import control, show, state

    place = state.find(name)
    target = place.node(node)
    with control.exclusive(place.devnet.name):
        found = control.restart(place, target)
    text = f"{target.name} is up (pid {found.pid}), height {found.height}, {found.state}"
    emit("marsa.devnet.restart/1", show.state_json(found), text)


@devnet.command(
    "reset",
    short_help="Begin again with a new genesis.",
    help=f"""{examples("marsa devnet reset", "marsa devnet reset --name big --yes")}

Stop the nodes, delete the chain, make a new genesis of the same kind, and start it if the old one
ran. All keys are new, so nothing that was signed before fits it. Asks first: there is no way back
but a snapshot.
""",
)
@named
def reset(name: str | None) -> None:
    """The nonce is new, also where the old one came from --seed."""
    from cli.devnet import control, plan, state

    place = state.find(name)
    with control.exclusive(place.devnet.name):
        confirm(f"Devnet '{place.devnet.name}' loses its chain and its keys for good. Begin again?")
        was_running = control.down(place) > 0
        fresh = plan.recreate(place)
        if was_running:
            control.up(fresh)
    value = {"name": fresh.devnet.name, "genesis_hash": fresh.devnet.genesis_hash}
    begin = f"marsa devnet up{fresh.devnet.option}"
    what = "started" if was_running else f"made; start it with: {begin}"
    emit("marsa.devnet.reset/1", value, f"genesis {fresh.devnet.genesis_hash[:16]} {what}")


@devnet.command(
    "fund",
    short_help="Send coins from the faucet.",
    help=f"""{examples("marsa devnet fund bob 100", "marsa devnet fund mrst1… 2.5 --issuer acme")}

Send AMOUNT coins of the devnet's faucet to an address or account.
""",
)
@click.argument("address")
@click.argument("amount")
@click.option("--issuer", metavar="ID", help="Send this issuer's coins.")
@named
def fund(address: str, amount: str, issuer: str | None, name: str | None) -> None:
    """As `tx send` from the faucet, through the first node that answers."""
    from cli.devnet import faucet, state

    faucet.fund(state.find(name), address, parse_amount(amount), issuer)


def _make_or_resume(name: str, founding: Founding) -> Place:
    from cli.devnet import control, plan, state

    if not state.exists(name):
        return plan.found(name, founding)
    place = state.find(name)
    plan.check_same(place, founding)
    control.check_none_paused(place)
    base_port = founding.base_port or place.devnet.base_port
    faults = place.devnet.faults if founding.faults is None else founding.faults
    is_moved = (base_port, faults) != (place.devnet.base_port, place.devnet.faults)
    if is_moved and control.running(place):
        links = "with" if place.devnet.faults else "without"
        raise usage_error(
            "devnet_running",
            f"devnet '{name}' is running on base port {place.devnet.base_port}, {links} --faults",
            f"stop it first: marsa devnet down{place.devnet.option}",
        )
    plan.check_links(len(place.devnet.nodes), faults=faults)
    if founding.agents not in (None, place.devnet.agents):
        place = plan.with_agents(place, agents=bool(founding.agents))
    if faults != place.devnet.faults:
        place = plan.route(place, faults=faults)
    return place if base_port == place.devnet.base_port else plan.move(place, base_port)
