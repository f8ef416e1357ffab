"""`marsa devnet chaos`: seeded faults under load on real processes, and a verdict."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

import click

from cli.base import Command, Number, examples
from cli.errors import CliError, ExitCode, usage_error
from cli.output import emit, note, table
from cli.units import parse_duration

if TYPE_CHECKING:
    from cli.devnet.chaos_clients import Figures
    from cli.devnet.chaos_plan import Fault, Schedule
    from cli.devnet.chaos_run import Outcome
    from cli.devnet.state import Place

DEFAULT_LENGTH = "60s"
SEED_MAX = (1 << 63) - 1


@click.command(
    "chaos",
    cls=Command,
    help=f"""{
        examples("marsa devnet chaos --seed 7 --for 60s", "marsa devnet chaos --seed 7 --dry-run")
    }

Kill, stop, restart, cut off and slow down nodes of a running devnet while clients pay each other;
then heal everything and judge what the clients saw. The seed alone makes the schedule. At most f
validators are disturbed at once; with --hard any number, and only safety is judged meanwhile.
Observers serve clients too and are left alone. Exits with 9 when a rule does not hold. Faults of
links need a devnet made with `up --faults`.
""",
)
@click.option("--seed", type=Number(0, SEED_MAX), required=True, help="Makes the schedule.")
@click.option("--for", "length", default=DEFAULT_LENGTH, show_default=True, metavar="DURATION")
@click.option("--hard", is_flag=True, help="More than f at once, and no quorum at times.")
@click.option("--kinds", metavar="K,K…", help="Only these: kill, restart, pause, isolate, …")
@click.option("--dry-run", is_flag=True, help="Print the schedule and do nothing.")
@click.option("--name", metavar="NAME", help="Which devnet; the only one, or 'default'.")
def chaos(
    seed: int, length: str, hard: bool, kinds: str | None, dry_run: bool, name: str | None
) -> None:
    """Draw, run, judge."""
    from cli.devnet import chaos_plan, state

    place = state.find(name)
    length_ms = parse_duration(length)
    if not chaos_plan.LENGTH_MS_MIN <= length_ms <= chaos_plan.LENGTH_MS_MAX:
        raise usage_error("bad_duration", f"a run of {length} is none", "choose 5s to 24h")
    chosen = _kinds(kinds, hard=hard)
    schedule = chaos_plan.draw(
        seed,
        length_ms=length_ms,
        nodes=[node.name for node in place.devnet.validators],
        hard=hard,
        kinds=chosen,
    )
    if dry_run:
        emit("marsa.devnet.schedule/1", schedule, lambda: _schedule_text(schedule))
        return
    outcome = _run(place, schedule, chosen)
    command = _command(place, seed, length, kinds, hard=hard)
    value = _outcome_json(schedule, outcome, command)
    emit("marsa.devnet.chaos/1", value, lambda: _outcome_text(outcome, command))
    if not outcome.verdict.is_clean:
        # The result is printed above; the code says that it is bad.
        click.get_current_context().exit(ExitCode.CHECK_FAILED)


def _run(place: Place, schedule: Schedule, kinds: tuple[Fault, ...]) -> Outcome:
    from cli import bench_target
    from cli.devnet import chaos_run, control, faults
    from cli.devnet.history import HISTORIES_NAME, History

    if any(kind.is_of_links for kind in kinds):
        faults.need_forwarder(place)
    with control.exclusive(place.devnet.name):
        _need_all(place)
        target = bench_target.find(place.devnet.validators[0].api)
        directory = place.directory / HISTORIES_NAME
        directory.mkdir(mode=0o700, exist_ok=True)
        number = sum(1 for _ in directory.glob("*.jsonl"))
        history = History(directory / f"{number:04}-seed-{schedule.seed}.jsonl")
        note(f"{'seconds':>7}  {'what':<16}  {'whom':<34}  {'final':>6}  height")
        try:
            return chaos_run.Chaos(place, target, schedule, history, _report).run()
        finally:
            history.close()


def _need_all(place: Place) -> None:
    from cli.devnet import control

    for item in control.look(place):
        if item.state not in ("voting", "primary", "observing"):
            raise CliError(
                "devnet_not_well",
                f"{item.node.name} is {item.state}: a run begins with all validators voting",
                hint=f"marsa devnet {'status' if item.alive else 'up'}{place.devnet.option}",
                exit_code=ExitCode.UNREACHABLE,
            )


def _report(seconds: float, what: str, whom: str, figures: Figures) -> None:
    note(f"{seconds:7.1f}  {what:<16}  {whom:<34}  {figures.final:>6}  {figures.height}")


def _kinds(text: str | None, *, hard: bool) -> tuple[Fault, ...]:
    from cli.devnet.chaos_plan import SOFT, Fault

    allowed = tuple(Fault) if hard else SOFT
    if text is None:
        return allowed
    known = {fault.value: fault for fault in allowed}
    words = [word.strip() for word in text.split(",")]
    wrong = next((word for word in words if word not in known), None)
    if wrong is not None:
        raise usage_error(
            "bad_kind", f"{wrong!r} is no kind of fault", f"choose of: {', '.join(known)}"
        )
    return tuple(fault for fault in allowed if fault.value in words)


def _schedule_text(schedule: Schedule) -> str:
    rows = [
        [
            f"{step.at_ms / 1_000:.1f}",
            step.fault.value,
            " ".join(step.nodes) or "the primary",
            f"{step.length_ms / 1_000:.1f} s",
            f"{step.delay_ms} ms" if step.delay_ms else "",
        ]
        for step in schedule.steps
    ]
    limit = "any number" if schedule.hard else str(schedule.limit)
    head = f"seed {schedule.seed}, {schedule.length_ms // 1_000} s, {limit} at once"
    return f"{head}\n{table(('second', 'what', 'whom', 'length', 'by'), rows)}"


def _outcome_json(schedule: Schedule, outcome: Outcome, command: str) -> dict[str, object]:
    figures, verdict = outcome.figures, outcome.verdict
    return {
        "ok": verdict.is_clean,
        "safe": verdict.is_safe,
        "findings": [{"rule": item.rule.value, "what": item.what} for item in verdict.findings],
        "schedule": schedule,
        "final": figures.final,
        "refused": figures.refused,
        "lost": figures.lost,
        "rivals": figures.rivals,
        "height": outcome.height,
        "recovery_ms": outcome.recovery_ms,
        "history": str(outcome.history),
        "command": command,
    }


def _outcome_text(outcome: Outcome, command: str) -> str:
    from cli.devnet.judge import FINDINGS_A_RULE_MAX, Rule

    verdict, figures = outcome.verdict, outcome.figures
    rows = []
    details = []
    for rule in Rule:
        found = verdict.of(rule)
        rows.append([rule.value, "BROKEN" if found else "holds", rule.meaning])
        details += [f"{rule.value}: {what}" for what in found[:FINDINGS_A_RULE_MAX]]
        if len(found) > FINDINGS_A_RULE_MAX:
            details.append(f"{rule.value}: and {len(found) - FINDINGS_A_RULE_MAX} more")
    took = "-" if outcome.recovery_ms is None else f"{outcome.recovery_ms / 1_000:.1f} s"
    clean = "clean" if verdict.is_clean else "BROKEN"
    return "\n".join(
        (
            table(("rule", "verdict", "meaning"), rows),
            *details,
            "",
            f"{figures.final} payments final, {figures.rivals} of them tried twice; refused "
            f"{figures.refused}, lost {figures.lost}; height {outcome.height}; recovery {took}",
            f"History {outcome.history}",
            f"Again   {command}",
            f"Verdict {clean}",
        )
    )


def _command(place: Place, seed: int, length: str, kinds: str | None, *, hard: bool) -> str:
    words = ["marsa devnet chaos", f"--seed {seed}", f"--for {length}"]
    words += ["--hard"] if hard else []
    words += [f"--kinds {quote(kinds)}"] if kinds else []
    return " ".join(words) + place.devnet.option
