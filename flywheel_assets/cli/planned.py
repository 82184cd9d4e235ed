"""What is planned, shown to a person or told to a script."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flywheel_assets.cli.app import say
from flywheel_assets.cli.rows import show_rows
from flywheel_assets.errors import many
from flywheel_assets.stages.clock import in_words

if TYPE_CHECKING:
    from flywheel_assets.changes.plan import Change
    from flywheel_assets.dagster_assets.planning import Step

HEADERS = ("table", "change", "columns", "to be made again", "owners")


def as_json(step: "Step") -> dict[str, Any]:
    """Tell one step to a script."""
    change = step.change
    return {
        **asdict(change),
        "grade": change.grade.name.lower(),
        "history": step.is_history,
        "partitions": [[str(first), str(last)] for first, last in step.ranges],
        "kept": [[str(first), str(last)] for first, last in step.carried],
        "n_days": step.n_days,
        "n_rows": step.n_rows,
        "seconds": step.seconds,
        "at_most": step.at_most,
        "retrains": step.retrains,
        "decides": step.decides,
        "from": None if step.since is None else str(step.since),
    }


def show(planned: Sequence["Step"]) -> None:
    """Show all of them to a person."""
    if not planned:
        say("Nothing changes: tables are as they are declared.")
        return
    show_rows(HEADERS, [_row(step) for step in planned])
    for line in _summed_up(planned):
        say(line)


def _row(step: "Step") -> tuple[str, ...]:
    change = step.change
    owners = ", ".join(change.owners)
    return change.table, change.grade.name.lower(), _columns(change), _again(step), owners


def _summed_up(planned: Sequence["Step"]) -> Iterator[str]:
    """Say what a reviewer asks first: what is trained and decided otherwise, whose, how long."""
    for step in planned:
        whose = ", ".join(step.change.owners)
        if step.retrains:
            yield f"Model to retrain: {step.retrains}, on {step.since}; {whose}."
        if step.decides:
            yield f"Decisions affected: {step.decides}, from {step.since} on; {whose}."
    days, rows = (sum(getattr(step, n) for step in planned) for n in ("n_days", "n_rows"))
    if days:
        again = f"{many(days, 'partition')}, {many(rows, 'row')}{_time(planned)}"
        yield f"To be made again: {again}."


def _time(planned: Sequence["Step"]) -> str:
    known = [step for step in planned if step.seconds is not None]
    if not known:
        return ""
    how = "at most" if any(step.at_most for step in known) else "about"
    return f", {how} {sum(step.seconds or 0 for step in known):,.0f} s"


def _columns(change: "Change") -> str:
    parts = {
        "+": change.added,
        "~": change.changed,
        "-": change.removed,
        ">": change.touched,
        "=": change.carried,
    }
    names = [
        f"{sign} {'which rows' if name == '*' else name}"
        for sign, columns in parts.items()
        for name in columns
    ]
    return "\n".join(names) or "words or owners"


def _again(step: "Step") -> str:
    if step.is_history:
        begins = f" from {step.since} on" if step.since else ""
        return f"nothing: history stays, the next turn follows{begins}"
    if not step.ranges:
        return "nothing: what is there is kept" if step.carried else "nothing"
    spans = ", ".join(in_words(*span) for span in step.ranges)
    counts = f"{many(step.n_days, 'day')}, {many(step.n_rows, 'row')}"
    return f"{spans}: {counts}{_time([step])}"
