"""The headline: what it decided, what that earned, what needs attention; each in plain words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import many
from flywheel_assets.report.champions import Champions
from flywheel_assets.report.drifting import Drifting
from flywheel_assets.report.flow import Flow
from flywheel_assets.report.wording import day, interval, number, percent
from flywheel_assets.report.worth import Worth
from flywheel_assets.stages.alternatives import BOOTSTRAP, LOGGED
from flywheel_assets.stages.drift import ERROR

REFUSALS = 3
"""After how many trainings in a row that were not promoted somebody should look."""


@dataclass(frozen=True, order=True)
class Failed:
    """A check that failed, or only warned, when it was made last."""

    table: str
    message: str
    warns: bool


@dataclass(frozen=True)
class Matter:
    """Something that needs attention: what it is, and what to do.

    Parameters
    ----------
    level : str
        ``bad`` or ``warn``.
    """

    level: str
    what: str
    todo: str = ""


def decided(flywheel: Flywheel, flow: Flow, actions: Mapping[str, int], who: Champions) -> str:
    """Say what was decided on the newest day that was."""
    newest = flow.newest(f"{flywheel.name}/decisions")
    if newest is None:
        return "It has not decided yet."
    if not actions:
        return f"On {day(newest)} there was nobody to decide about."
    entity = flywheel.entity.name.replace("_", " ")
    shares = ", ".join(
        f"{number(actions[action])} {action.replace('_', ' ')}"
        for action in flywheel.policy.actions
        if action in actions
    )
    by = (
        "The bootstrap rule decided: there is no champion yet."
        if who.version is None
        else f"Version {who.version} of {flywheel.model.name} decides, champion since "
        f"{day(who.since)}."
    )
    total = sum(actions.values())
    return f"On {day(newest)}, {many(total, 'decision')}, each about a {entity}: {shares}. {by}"


def earned(flywheel: Flywheel, worth: Worth) -> str:
    """Say what that was worth, and what the bootstrap rule would have earned."""
    logged = worth.pooled.get(LOGGED)
    if (logged is None or logged.value is None) and worth.daily.height:
        newest = worth.daily.row(-1, named=True)
        return (
            f"What {many(newest['acted'], 'decision')} of {day(newest['day'])} led to was worth "
            f"{number(newest['reward'])} in all; what else could have been earned was not measured."
        )
    if logged is None or logged.value is None:
        wait = many(flywheel.outcome.matures_after.days, "day")
        return f"No decision has matured yet: an outcome takes {wait}."
    text = (
        f"The decisions of the {many(logged.n_days, 'day')} up to {day(worth.last)} earned "
        f"{number(logged.value)} each"
    )
    if logged.lower is not None:
        text += f" (90% interval {interval(logged.lower, logged.upper)})"
    rule = worth.pooled.get(BOOTSTRAP)
    if rule is None:
        return f"{text}. The bootstrap rule made them."
    if rule.value is None:
        return f"{text}. What the bootstrap rule would have earned, the log cannot say."
    ours = rule.logged or 0.0
    gain = f", {_against(ours, rule.value)}" if ours > 0 and rule.value >= 0 else ""
    told = "" if rule.lower is None else f" ({interval(rule.lower, rule.upper)})"
    verdict = {
        "worse than what was decided": "so learning pays",
        "better than what was decided": "so learning does not pay at present",
    }.get(rule.difference, "which chance may explain")
    return (
        f"{text}. On the {many(rule.n_days, 'day')} on which the log can tell, the bootstrap rule "
        f"would have earned {number(rule.value)}{told} against {number(ours)}{gain}: "
        f"{verdict}."
    )


def _against(ours: float, theirs: float) -> str:
    change = theirs / ours - 1
    return f"{percent(abs(change))} {'more' if change > 0 else 'less'}"


def matters(  # noqa: PLR0913, PLR0917  all that may need attention
    flywheel: Flywheel,
    flow: Flow,
    worth: Worth,
    who: Champions,
    drift: Drifting,
    failed: Sequence[Failed],
) -> list[Matter]:
    """List what needs attention, the most pressing first."""
    found = [
        *_checks(failed),
        *_late(flow),
        *_rejections(flow),
        *_drifted(drift, flywheel, failed),
        *_trainings(who),
        *_better(worth),
    ]
    return sorted(found, key=lambda one: one.level != "bad")


def _checks(failed: Sequence[Failed]) -> Iterator[Matter]:
    for one in failed:
        check, _, said = one.message.partition(": ")
        what = f"{check.replace('_', ' ')} of {one.table}"
        yield Matter("warn" if one.warns else "bad", what, said)


def _late(flow: Flow) -> Iterator[Matter]:
    if flow.last is None:
        yield Matter("warn", "Nothing was made yet.", "flywheel run begins it.")
        return
    if flow.missed:
        yield Matter(
            "bad",
            f"Nothing was made for the {many(flow.missed, 'day')} that closed after "
            f"{day(flow.last)}.",
            "flywheel run makes them; daily, Dagster's daemon does, which flywheel ui starts.",
        )
    by_day: dict[date | None, list[str]] = {}
    for table in flow.tables:
        if table.behind or table.newest is None:
            by_day.setdefault(table.newest, []).append(table.name)
    for newest, names in by_day.items():
        was = "was" if len(names) == 1 else "were"
        since = f"last made for {day(newest)}" if newest else "never made"
        yield Matter(
            "bad" if newest else "warn",
            f"{', '.join(names)} {was} {since}; the newest table is of {day(flow.last)}.",
            "Materialize what is behind, or see why its run failed.",
        )


def _rejections(flow: Flow) -> Iterator[Matter]:
    for one in flow.rejections:
        if one.need_attention:
            yield Matter("warn", f"{one.said}.", f"{one.to_do[0].upper()}{one.to_do[1:]}.")


def _drifted(drift: Drifting, flywheel: Flywheel, failed: Sequence[Failed]) -> Iterator[Matter]:
    if any(one.table == f"{flywheel.name}/drift" for one in failed):
        return  # its checks have said so, and what to do
    worst = [one for one in drift.found if one.level == ERROR]
    if worst:
        named = ", ".join(dict.fromkeys(one.column for one in worst))
        since = min(one.since for one in worst)
        yield Matter(
            "bad",
            f"{named} {'is' if len(worst) == 1 else 'are'} far from what the model was trained "
            f"on, since {day(since)} at the earliest.",
            "Look at what feeds the features; if the world has changed, train again.",
        )


def _trainings(who: Champions) -> Iterator[Matter]:
    if who.n_refused >= REFUSALS:
        yield Matter(
            "warn",
            f"The newest {who.n_refused} trainings were not promoted; the last because: "
            f"{who.trainings[0]['verdict']}.",
            "See the trainings below: a bar may be too high, or the features tell too little.",
        )


def _better(worth: Worth) -> Iterator[Matter]:
    for other in worth.alternatives:
        if other.difference.startswith("better"):
            yield Matter(
                "warn",
                f"{other.name[0].upper()}{other.name[1:]} would have earned more: "
                f"{number(other.value)} a decision against {number(other.logged)}.",
                "If it lasts, reconsider the model or how much is explored.",
            )
