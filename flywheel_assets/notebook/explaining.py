"""One decision: who else was considered, what was seen, which model decided, what came of it."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from flywheel_assets.api.trace import Step, trace
from flywheel_assets.declare.allocate import Slate
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF, DECISION_ID, PARTITION
from flywheel_assets.errors import HomeError, nearest
from flywheel_assets.notebook.showing import html_table, text_table
from flywheel_assets.stages.decisions import DECIDED_AT, decision_schema
from flywheel_assets.stages.features import feature_schema
from flywheel_assets.stages.seen import seen, spine_schema
from flywheel_assets.stages.training_set import LABEL, REWARD, training_schema
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.promotions import Ledger
from flywheel_assets.stores.tables import Tables


@dataclass(frozen=True)
class Explanation:
    """Why a decision came out as it did, and what came of it.

    Parameters
    ----------
    decision : mapping
        Its row of ``<flywheel>/decisions``.
    candidates : DataFrame
        All decisions that it competed with, best rank first: of its slate where there are slates,
        else of its day.
    seen : DataFrame, (1, n_features)
        What it saw, with the entity's keys: a row that `Loaded.score` scores.
    decided_by : str
        The model's version, since when it decides and why; or the bootstrap rule.
    outcome : str
        What followed; until the horizon has passed, when that will be known.
    since : list of Step
        What it led to, table by table.
    """

    decision: Mapping[str, Any]
    candidates: pl.DataFrame = field(repr=False)
    seen: pl.DataFrame = field(repr=False)
    decided_by: str
    outcome: str
    since: list[Step] = field(repr=False)

    def __repr__(self) -> str:
        facts = text_table(["", str(self.decision[DECISION_ID])], self._facts())
        return f"{facts}\n\n{text_table(['feature', 'value'], self._values())}"

    def _repr_html_(self) -> str:
        caption = str(self.decision[DECISION_ID])
        values = html_table(["feature", "value"], self._values(), "What it saw")
        return html_table(["", ""], self._facts(), caption) + values

    def _facts(self) -> list[list[Any]]:
        row = self.decision
        others = self.candidates.filter(pl.col("action") == row["action"]).height
        explored = ", drawn to explore" if row["explored"] else ""
        return [
            ["action", f"{row['action']}{explored}"],
            ["decided at", row[DECIDED_AT]],
            ["rank", f"{row['rank']:,} among {self.candidates.height:,} candidates"],
            ["given the same", f"{others:,} of them"],
            ["score", row["score"]],
            ["propensity", row["propensity"]],
            ["decided by", self.decided_by],
            ["outcome", self.outcome],
            *([step.table, step.what] for step in self.since),
        ]

    def _values(self) -> list[list[Any]]:
        names = [name for name in self.seen.columns if name != AS_OF]
        values = self.seen.row(0, named=True)
        # Whole numbers as they are: many are keys.
        return [[n, str(v) if isinstance(v := values[n], int) else v] for n in names]


def explain(home: Home, flywheels: Sequence[Flywheel], decision_id: str) -> Explanation:
    """Explain a decision of any flywheel.

    Raises
    ------
    HomeError
        For an id that no published decision has, naming the nearest.
    """
    tables = Tables(home.lakehouse)
    flywheel, day = _parse(tables, flywheels, decision_id)
    rows = tables.read(f"{flywheel.name}/decisions", decision_schema(flywheel), day, day)
    candidates = rows.sort("rank", DECISION_ID).collect()
    found = candidates.filter(pl.col(DECISION_ID) == decision_id)
    if found.is_empty():
        raise _unknown(decision_id, candidates, day)
    row = found.row(0, named=True)
    allocation = flywheel.policy.allocation
    if isinstance(allocation, Slate):
        candidates = candidates.filter(pl.col(allocation.per) == row[allocation.per])
    steps = trace(home, flywheels, decision_id)
    own = f"{flywheel.name}/decisions"
    place = next((i for i, step in enumerate(steps) if step.table == own), -1)
    return Explanation(
        decision=row,
        candidates=candidates,
        seen=_seen(tables, flywheel, found, day),
        decided_by=_decided_by(tables, flywheel, row),
        outcome=_outcome(tables, flywheel, row),
        since=steps[place + 1 :],
    )


def _parse(
    tables: Tables, flywheels: Sequence[Flywheel], decision_id: str
) -> tuple[Flywheel, date]:
    name, _, rest = decision_id.partition(":")
    known = {flywheel.name: flywheel for flywheel in flywheels}
    if name not in known:
        raise HomeError(
            expected="a decision_id, <flywheel>:<day>:<entity>",
            found=repr(decision_id),
            remedy=nearest(name, known),
        )
    days = tables.days(f"{name}/decisions")
    said = rest.partition(":")[0]
    try:
        day = date.fromisoformat(said)
    except ValueError:
        day = None
    if day is None or day not in days:
        raise HomeError(
            expected=f"a day on which {name} decided",
            found=repr(said),
            remedy=f"it did from {days[0]} to {days[-1]}" if days else "it never did here",
        )
    return known[name], day


def _unknown(decision_id: str, candidates: pl.DataFrame, day: date) -> HomeError:
    ids = candidates[DECISION_ID].head(10_000).to_list()
    close = difflib.get_close_matches(decision_id, ids, n=1, cutoff=0.0)
    return HomeError(
        expected=f"one of the {candidates.height:,} decisions of {day}",
        found=repr(decision_id),
        remedy=f"did you mean {close[0]!r}?" if close else "nothing was considered on that day",
    )


def _seen(tables: Tables, flywheel: Flywheel, decision: pl.DataFrame, day: date) -> pl.DataFrame:
    spine = decision.with_columns(pl.col(DECIDED_AT).alias(AS_OF)).select(*spine_schema(flywheel))
    snapshots = {
        view: tables.read(f"features/{view.name}", feature_schema(view), day, day).collect()
        for view in flywheel.views
    }
    return seen(spine, snapshots, flywheel).select(
        *flywheel.entity.keys, AS_OF, *flywheel.descriptions
    )


def _decided_by(tables: Tables, flywheel: Flywheel, row: Mapping[str, Any]) -> str:
    version = row["model_version"]
    if version is None:
        return "the bootstrap rule"
    entries = Ledger(tables, flywheel.name).entries(row[PARTITION])
    mine = entries.filter(pl.col("version") == version).tail(1)
    why = "".join(
        f", since {entry[PARTITION]} by {entry['by'] or 'the gate'}: {entry['reason']}"
        for entry in mine.iter_rows(named=True)
    )
    return f"{flywheel.model.name} version {version}{why}"


def _outcome(tables: Tables, flywheel: Flywheel, row: Mapping[str, Any]) -> str:
    matures: date = row[PARTITION] + flywheel.outcome.matures_after
    table = f"{flywheel.name}/training_set"
    rows = tables.read(table, training_schema(flywheel), matures, matures)
    found = rows.filter(pl.col(DECISION_ID) == row[DECISION_ID]).select(LABEL, REWARD).collect()
    if found.is_empty():
        known = matures + timedelta(days=1)
        if matures in tables.days(table):
            return "none: the product did not report that it was carried out"
        return f"not known yet: {table} has it from {known} on"
    label, reward = found.row(0)
    said = "it followed" if label else "it did not follow"
    return f"{label}: {said}, worth {reward:g}. {flywheel.outcome.description}"
