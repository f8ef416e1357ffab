"""The verdict on a chaos run: what clients were told against the chain that there is. Pure.

Safety never depends on time and always holds:

- *agreement*: equal hashes and state roots at equal heights on all nodes;
- *validity*: the chain, run again from genesis, obeys every rule (`cli.audit_chain` says so);
- *finality*: what any node ever called final is final on all nodes, once, in the block it named;
- *no way back*: a node never takes back an answer, and its height never falls;
- *one history*: no coin is spent twice, and a height read twice is the same: its block, its state
  root, and a balance in it, which is the one that the chain's transactions give;
- *conservation*: what the clients hold and the fees that they paid are what they began with.

Liveness is judged where at most f validators were disturbed: payments went on becoming final, and
after the faults everything that was pending became final or was refused.

In the sense of a ledger of coins this is linearisability: each coin is a register that is written
once, and a read of a node is a read of a prefix of one order, marked with its height.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import TypeVar

from cli.devnet.chaos_plan import Schedule
from cli.devnet.history import Balance, Look, Pay, Record, Tip

RECOVERY_MS_MAX = 30_000
"""From the end of all faults to a payment that is final."""
STALL_MS_MAX = 30_000
"""Between two payments that become final, while at most f validators are disturbed."""
FINDINGS_A_RULE_MAX = 5
"""Shown in full: a broken rule is mostly broken often."""

R = TypeVar("R", Look, Tip)


class Rule(Enum):
    """What was judged, in the order of the verdict."""

    AGREEMENT = "agreement"
    VALIDITY = "validity"
    FINALITY = "finality"
    NO_WAY_BACK = "no way back"
    ONE_HISTORY = "one history"
    CONSERVATION = "conservation"
    PROGRESS = "progress"
    RECOVERY = "recovery"
    SETTLED = "settled"
    PROCESSES = "processes"

    @property
    def is_safety(self) -> bool:
        return self not in (Rule.PROGRESS, Rule.RECOVERY, Rule.SETTLED, Rule.PROCESSES)

    @property
    def meaning(self) -> str:
        return _MEANING[self]


_MEANING = {
    Rule.AGREEMENT: "equal blocks and state roots at equal heights on all nodes",
    Rule.VALIDITY: "the chain, run again from genesis, obeys every rule",
    Rule.FINALITY: "what any node called final is final on all, once, where it said",
    Rule.NO_WAY_BACK: "no node took an answer back, and no height fell",
    Rule.ONE_HISTORY: "no coin spent twice, no height that reads two ways",
    Rule.CONSERVATION: "what clients hold and paid in fees is what they began with",
    Rule.PROGRESS: "payments became final while at most f validators were disturbed",
    Rule.RECOVERY: "a payment was final soon after the last fault",
    Rule.SETTLED: "everything that was pending is final or was refused",
    Rule.PROCESSES: "no node ended by itself or logged a traceback",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that does not hold, with what shows it."""

    rule: Rule
    what: str


@dataclass(frozen=True, slots=True)
class Paid:
    """A final transaction: what it spent, and to which lock how much went."""

    txid: str
    spends: tuple[str, ...]
    outputs: tuple[tuple[bytes, int], ...]
    fee: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the chain that was run again."""

    block: str
    state_root: str
    transactions: tuple[Paid, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEnd:
    """One node when all was over. `headers` are (hash, state root) from height `first` on;
    `final` says where it has the transactions that any node called final."""

    name: str
    first: int
    headers: tuple[tuple[str, str], ...]
    final: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Everything that was found when all was over."""

    chain: Sequence[Block]
    """By height, from genesis; empty where no node answered."""
    chain_fault: str
    """Why the chain is not valid; empty when it is."""
    nodes: Sequence[NodeEnd]
    locks: Sequence[bytes]
    """Of the clients."""
    funding: str
    """The txid that gave them what they have."""
    unsettled: Sequence[str]
    """Neither final nor refused when the time was over."""
    healed_ms: int
    recovered_ms: int | None
    """When a payment made after healing was final."""
    complaints: Sequence[str]
    """Of processes: who ended by itself, whose log has a traceback."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings` is empty when every rule holds."""

    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        return not self.findings

    @property
    def is_safe(self) -> bool:
        return not any(finding.rule.is_safety for finding in self.findings)

    def of(self, rule: Rule) -> list[str]:
        return [finding.what for finding in self.findings if finding.rule is rule]


@dataclass(slots=True)
class _Judge:
    records: Sequence[Record]
    schedule: Schedule
    end: End
    found: list[Finding] = field(default_factory=list)

    def add(self, rule: Rule, what: str) -> None:
        self.found.append(Finding(rule, what))

    def of(self, kind: type[R]) -> Iterator[R]:
        return (record for record in self.records if isinstance(record, kind))


def judge(records: Sequence[Record], schedule: Schedule, end: End) -> Verdict:
    """Every rule over one run."""
    judge = _Judge(records, schedule, end)
    if end.chain_fault:
        judge.add(Rule.VALIDITY, end.chain_fault)
    if end.chain:
        _agreement(judge)
        _finality(judge)
        _spends(judge)
        _tips(judge)
        _balances(judge)
        _conservation(judge)
    _no_way_back(judge)
    _progress(judge)
    _recovery(judge)
    for txid in end.unsettled:
        judge.add(Rule.SETTLED, f"{txid} is neither final nor refused")
    for complaint in end.complaints:
        judge.add(Rule.PROCESSES, complaint)
    return Verdict(tuple(judge.found))


# Safety.


def _agreement(judge: _Judge) -> None:
    chain = judge.end.chain
    for node in judge.end.nodes:
        last = node.first + len(node.headers) - 1
        if last != len(chain) - 1:
            judge.add(Rule.AGREEMENT, f"{node.name} ends at {last}, others at {len(chain) - 1}")
        for height, (block, root) in enumerate(node.headers, node.first):
            if height >= len(chain):
                break
            if block != chain[height].block:
                what = f"height {height}: {node.name} has block {block}, not {chain[height].block}"
                judge.add(Rule.AGREEMENT, what)
                break
            if root != chain[height].state_root:
                what = f"height {height}: {node.name} has state root {root}"
                judge.add(Rule.AGREEMENT, what)
                break


def _finality(judge: _Judge) -> None:
    heights = _heights(judge.end.chain)
    for txid, count in _counts(judge.end.chain):
        if count > 1:
            judge.add(Rule.FINALITY, f"{txid} is in the chain {count} times")
    for txid, look in _told(judge).items():
        there = heights.get(txid)
        if there is None:
            judge.add(Rule.FINALITY, f"{look.node} called {txid} final, and the chain has it not")
            continue
        for node in judge.end.nodes:
            if node.final.get(txid) != there:
                what = f"{txid} is final at {there}, and {node.name} says {node.final.get(txid)}"
                judge.add(Rule.FINALITY, what)
    for look in judge.of(Look):
        there = heights.get(look.txid)
        if look.outcome != "final" or there is None:
            continue
        if look.height != there or look.block != judge.end.chain[there].block:
            judge.add(
                Rule.FINALITY,
                f"{look.node} called {look.txid} final at {look.height} in block "
                f"{look.block or '-'}: it is at {there} in {judge.end.chain[there].block}",
            )


def _no_way_back(judge: _Judge) -> None:
    """An answer that began after another one had ended must not know less."""
    final: dict[tuple[str, str], int] = {}
    for look in sorted(judge.of(Look), key=lambda look: look.end_ms):
        if look.outcome == "final":
            final.setdefault((look.node, look.txid), look.end_ms)
    for look in judge.of(Look):
        told = final.get((look.node, look.txid))
        if told is not None and look.start_ms > told and look.outcome not in ("final", "lost"):
            what = f"{look.node} called {look.txid} final, and {look.outcome} later"
            judge.add(Rule.NO_WAY_BACK, what)
    highest: dict[str, tuple[int, int]] = {}
    for tip in sorted(judge.of(Tip), key=lambda tip: tip.end_ms):
        height, told_ms = highest.get(tip.node, (0, -1))
        if tip.height < height and tip.start_ms > told_ms:
            what = f"{tip.node} was at {height}, and at {tip.height} later"
            judge.add(Rule.NO_WAY_BACK, what)
        if tip.height > height:
            highest[tip.node] = tip.height, tip.end_ms


def _spends(judge: _Judge) -> None:
    """In the chain, and in what clients were told."""
    spent: dict[str, str] = {}
    for block in judge.end.chain:
        for paid in block.transactions:
            for outpoint in paid.spends:
                other = spent.setdefault(outpoint, paid.txid)
                if other != paid.txid:
                    what = f"{outpoint} is spent by {other} and by {paid.txid}"
                    judge.add(Rule.ONE_HISTORY, what)
    told = _told(judge)
    spends = {pay.txid: pay.spends for pay in judge.records if isinstance(pay, Pay)}
    called: dict[str, str] = {}
    for txid in told:
        outpoint = spends.get(txid, txid)
        other = called.setdefault(outpoint, txid)
        if other != txid:
            what = f"{other} and {txid} spend {outpoint}, and both were called final"
            judge.add(Rule.ONE_HISTORY, what)


def _tips(judge: _Judge) -> None:
    chain = judge.end.chain
    for tip in judge.of(Tip):
        if tip.height >= len(chain):
            what = f"{tip.node} was at height {tip.height}, and the chain ends at {len(chain) - 1}"
            judge.add(Rule.ONE_HISTORY, what)
        elif (tip.block, tip.state_root) != (chain[tip.height].block, chain[tip.height].state_root):
            shown = f"block {tip.block}, state root {tip.state_root}"
            what = f"height {tip.height}: {tip.node} showed {shown}"
            judge.add(Rule.ONE_HISTORY, what)


def _balances(judge: _Judge) -> None:
    reads = [record for record in judge.records if isinstance(record, Balance)]
    wanted = {read.height for read in reads if read.height < len(judge.end.chain)}
    held = dict(_holdings(judge.end, wanted))
    for read in reads:
        right = held.get(read.height)
        if right is not None and right[read.client] != read.amount:
            judge.add(
                Rule.ONE_HISTORY,
                f"height {read.height}: {read.node} gave client {read.client} {read.amount} µ, "
                f"the chain's transactions give {right[read.client]} µ",
            )


def _holdings(end: End, wanted: set[int]) -> Iterator[tuple[int, list[int]]]:
    """What each client holds after each wanted height."""
    index = {lock: client for client, lock in enumerate(end.locks)}
    held = [0] * len(end.locks)
    coins: dict[str, tuple[int, int]] = {}
    for height, block in enumerate(end.chain):
        for paid in block.transactions:
            for outpoint in paid.spends:
                if outpoint in coins:
                    client, amount = coins.pop(outpoint)
                    held[client] -= amount
            for place, (lock, amount) in enumerate(paid.outputs):
                if lock in index:
                    coins[f"{paid.txid}:{place}"] = index[lock], amount
                    held[index[lock]] += amount
        if height in wanted:
            yield height, list(held)


def _conservation(judge: _Judge) -> None:
    """Coins of clients only go to clients, so their sum falls by fees alone."""
    end = judge.end
    last = len(end.chain) - 1
    ours = set(end.locks)
    begun = fees = 0
    for block in end.chain:
        for paid in block.transactions:
            if paid.txid == end.funding:
                begun = sum(amount for lock, amount in paid.outputs if lock in ours)
            elif any(lock in ours for lock, _ in paid.outputs):
                fees += paid.fee
    held = sum(next(iter(dict(_holdings(end, {last})).values()), []))
    if held + fees != begun:
        judge.add(
            Rule.CONSERVATION,
            f"clients began with {begun} µ, hold {held} µ and paid {fees} µ in fees",
        )


# Liveness.


def _progress(judge: _Judge) -> None:
    """No long time without a payment that becomes final, where the others were enough."""
    ends = sorted(look.end_ms for look in judge.of(Look) if look.outcome == "final")
    moments = [0, *[end for end in ends if end < judge.schedule.length_ms]]
    for since, until in zip(moments, [*moments[1:], judge.schedule.length_ms], strict=True):
        calm = calm_ms(judge.schedule, since, until)
        if calm > STALL_MS_MAX:
            judge.add(
                Rule.PROGRESS,
                f"nothing became final from {since} to {until} ms, {calm} ms of it with at most "
                f"{judge.schedule.limit} disturbed",
            )


def calm_ms(schedule: Schedule, since: int, until: int) -> int:
    """How much of this time at most f validators were disturbed."""
    edges = {since, until}
    for step in schedule.steps:
        edges.update(edge for edge in (step.at_ms, step.clear_ms) if since < edge < until)
    marks = sorted(edges)
    return sum(
        after - before
        for before, after in pairwise(marks)
        if schedule.disturbed(before) <= schedule.limit
    )


def _recovery(judge: _Judge) -> None:
    end = judge.end
    if end.recovered_ms is None:
        what = f"no payment was final within {RECOVERY_MS_MAX} ms after the last fault"
        judge.add(Rule.RECOVERY, what)
    elif end.recovered_ms - end.healed_ms > RECOVERY_MS_MAX:
        took = end.recovered_ms - end.healed_ms
        judge.add(Rule.RECOVERY, f"the first payment after the last fault took {took} ms")


# Common.


def told_final(records: Iterable[Record]) -> list[str]:
    """What any node ever called final, in order."""
    looks = (record for record in records if isinstance(record, Look))
    return list(dict.fromkeys(look.txid for look in looks if look.outcome == "final"))


def _told(judge: _Judge) -> dict[str, Look]:
    told: dict[str, Look] = {}
    for look in judge.of(Look):
        if look.outcome == "final":
            told.setdefault(look.txid, look)
    return told


def _heights(chain: Sequence[Block]) -> dict[str, int]:
    return {paid.txid: height for height, block in enumerate(chain) for paid in block.transactions}


def _counts(chain: Sequence[Block]) -> Iterator[tuple[str, int]]:
    counts: dict[str, int] = {}
    for block in chain:
        for paid in block.transactions:
            counts[paid.txid] = counts.get(paid.txid, 0) + 1
    return iter(counts.items())
