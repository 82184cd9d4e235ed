"""A flywheel turned over a few days of random data, with the values of one column changed.

What comes out different is what is made of the column: the brute-force answer to `flywheel impact`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cache
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl

from flywheel_assets import Fact, Flywheel, Observation
from flywheel_assets.changes.graph import Column
from flywheel_assets.declare.flywheel import catalog
from flywheel_assets.declare.learn import LOWER_IS_BETTER
from flywheel_assets.declare.rules import (
    DECISION_ID,
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
)
from flywheel_assets.rehearsal import as_observed
from flywheel_assets.stages.alternatives import ALTERNATIVES_SCHEMA, alternatives
from flywheel_assets.stages.candidates import candidates
from flywheel_assets.stages.challenge import MODEL_SCHEMA, Challenge, challenge
from flywheel_assets.stages.clock import DAY
from flywheel_assets.stages.collect import settle, validate
from flywheel_assets.stages.drift import drift, profile, profiles
from flywheel_assets.stages.features import features
from flywheel_assets.stages.model import scorer
from flywheel_assets.stages.organize import changes, dimension_schema, fact_schema, facts
from flywheel_assets.stages.performance import performance
from flywheel_assets.stages.policy import decide, draw
from flywheel_assets.stages.predicted import Predicted, Scorer
from flywheel_assets.stages.received import API
from flywheel_assets.stages.training_set import training_set
from flywheel_assets.stores.promotions import PROMOTION_SCHEMA
from flywheel_tests.drawn import FIRST, N_DAYS, Frame, as_raw, observe, other, small


@dataclass(frozen=True)
class World:
    """A flywheel over some data, as it turns when nothing is changed."""

    wheel: Flywheel
    plain: Mapping[str, Frame]
    base: "Turned"

    def changed(self, column: Column, seed: int) -> set[Column]:
        """Give what is different when a column has other values."""
        turned = Turned(self.wheel, self.plain, column, seed, self.base)
        found = differing(self.base, turned) - {column}
        if column.name in _keys(column.table, self.base):
            # Another key makes another row: nothing is said of the others in it.
            found = {c for c in found if c.table != column.table}
        return found


@cache
def world(wheel: Flywheel, number: int) -> World:
    """Turn a flywheel over one of three sets of data, each at an edge of its own.

    The first model just passes the gate (0), or just does not, and there are as many places as
    candidates (1); or there is hardly enough to train on (2).
    """
    easy = small(wheel)
    plain = {
        o.name: observe(o, easy, 10 * number + n, few=number == 2)
        for n, o in enumerate(catalog([easy]).observations)
    }
    turned = Turned(easy, plain)
    if number == 1:
        rows = turned.tables[f"{wheel.name}/training_set"]
        n_last = rows.filter(pl.col(PARTITION) == pl.col(PARTITION).max()).height
        easy = small(wheel, capacity=n_last)
        turned = Turned(easy, plain)
    value = turned.tables[f"{wheel.name}/model"]["value"][0]
    if number == 2 or value is None:
        return World(easy, plain, turned)
    less = wheel.model.metric in LOWER_IS_BETTER
    bar = value if number == 0 else value - 1e-9 if less else value + 1e-9
    edge = replace(easy, model=replace(easy.model, gate=replace(easy.model.gate, minimum=bar)))
    return World(edge, plain, Turned(edge, plain))


@dataclass
class Turned:
    """What every table holds once it has turned, and what each step was given.

    A step that is given what it was given in another turn is not taken again.
    """

    wheel: Flywheel
    plain: Mapping[str, Frame]
    changed: Column | None = None
    seed: int = 0
    base: "Turned | None" = None
    tables: dict[str, Frame] = field(default_factory=dict)
    steps: dict[str, tuple[tuple[Any, ...], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        things = catalog([self.wheel])
        self._rows: dict[str, Frame] = {}
        for observation in things.observations:
            self._collect(observation)
        self._facts = {fact: self._fact(fact) for fact in things.facts}
        self._dimensions = {}
        for dimension in things.dimensions:
            table = f"organize/dim_{dimension.name}"
            nothing = pl.DataFrame(schema=dimension_schema(dimension))
            told = self.tables[f"collect/{dimension.observation.name}"]
            made = self._step(table, lambda o, d=dimension, e=nothing: changes(o, e, d), told)
            self._dimensions[dimension] = self._kept(table, made)
        self._views = {view: self._view(view) for view in self.wheel.views}
        self._turn()

    def _step(self, name: str, function: Callable[..., Any], *given: Any) -> Any:
        known = self.base.steps.get(name) if self.base else None
        if known is not None and all(_same(a, b) for a, b in zip(known[0], given, strict=True)):
            self.steps[name] = known
        else:
            self.steps[name] = (given, function(*given))
        return self.steps[name][1]

    def _kept(self, table: str, made: Frame) -> Frame:
        """Keep a table, changed if it is its turn."""
        change = self.changed
        if change is not None and change.table == table and change.name in made.columns:
            made = other(made, change.name, self.seed)
        self.tables[table] = made
        return made

    def _collect(self, observation: Observation) -> None:
        table, change, plain = f"collect/{observation.name}", self.changed, self.plain
        told = plain[observation.name].with_columns(pl.col(KNOWN_AT).dt.date().alias("_file_day"))
        source = observation.source or API
        derived = {OBSERVATION_ID, KNOWN_AT if source.known_at is None else EVENT_TIME}
        if source.event_time and source.known_at:
            derived = {OBSERVATION_ID}
        if change is not None and change.table == table and change.name not in derived:
            told = other(told, change.name, self.seed)

        def collect(told: Frame) -> tuple[Frame, Frame]:
            raw, source = as_raw(told, observation)
            checked = validate(raw, observation, source)
            assert checked["reason"].null_count() == checked.height, checked["reason"].unique()
            made = settle(checked, checked.clear(), observation)
            assert made.observations.height == checked.height
            return made.observations, checked.select(OBSERVATION_ID)

        made, ids = self._step(table, collect, told)
        if change is not None and change.table == table and change.name in derived:
            made = self._renamed(made, change.name)
            if change.name == OBSERVATION_ID:
                ids = self._renamed(ids, change.name)
        self._rows[observation.name] = ids.with_row_index("_row")
        self.tables[table] = made

    def _renamed(self, made: Frame, column: str) -> Frame:
        """Change what collect itself writes: ids that nothing refers to, or times."""
        if column != OBSERVATION_ID:
            return other(made, column, self.seed)
        free = pl.col(OBSERVATION_ID).str.len_chars() == 32  # a digest, not a name
        digest = pl.concat_str(pl.lit(f"{self.seed}"), OBSERVATION_ID).hash(self.seed)
        return made.with_columns(
            pl.when(free)
            .then(digest.cast(pl.String))
            .otherwise(OBSERVATION_ID)
            .alias(OBSERVATION_ID)
        )

    def _fact(self, fact: Fact) -> Frame:
        table, nothing = f"organize/fct_{fact.name}", pl.DataFrame(schema=fact_schema(fact))
        told = self.tables[f"collect/{fact.observation.name}"]
        made = self._step(table, lambda o: facts(o, nothing, fact), told)
        change = self.changed
        if change is None or change.table != table:
            return self._kept(table, made)
        if change.name == OBSERVATION_ID:
            made = self._renamed(made, OBSERVATION_ID)
            self._rows[f"{fact.name}*"] = self._renamed(
                self._rows[fact.observation.name].drop("_row"), OBSERVATION_ID
            ).with_row_index("_row")
        else:
            made = other(made, change.name, self.seed)
        derive = {n: e for n, e in fact.derive.items() if n != change.name}
        self.tables[table] = made.with_columns(**derive)
        return self.tables[table]

    def _view(self, view: Any) -> Frame:
        table, days = f"features/{view.name}", [FIRST + n * DAY for n in range(N_DAYS)]
        made = self._step(
            table,
            lambda rows, dims: features(rows, dims, view, days),
            self._facts[view.fact],
            {d: self._dimensions[d] for d in view.dimensions},
        )
        change = self.changed
        if change is None or change.table != table:
            return self._kept(table, made)
        per = PARTITION if change.name in view.entity.keys else None
        made = other(made, change.name, self.seed, per)
        for feature in view.expressions:
            if feature.name != change.name:
                made = made.with_columns(feature.expression.alias(feature.name))
        self.tables[table] = made
        return made

    def _turn(self) -> None:  # noqa: PLR0915  a day after the other, as the loop goes
        wheel, name = self.wheel, self.wheel.name
        outcome, policy = wheel.outcome, wheel.policy
        exposure = () if outcome.exposure is None else (self._facts[outcome.exposure],)
        history = {fact: self._facts[fact] for fact in policy.facts}
        decided: dict[date, Frame] = {}
        logged: dict[date, Frame] = {}
        matured: list[Frame] = []
        rows: list[dict[str, Any]] = []
        champions: list[tuple[str, Scorer]] = []
        judged: Scorer | None = None
        worth: list[Frame] = []
        drifts: list[Frame] = []
        by: dict[date, list[tuple[str, Scorer]]] = {}
        kept: dict[str, Any] = {}
        for n in range(N_DAYS):
            day = FIRST + n * DAY
            today = {v: f.filter(pl.col(PARTITION) == day) for v, f in self._views.items()}
            if n > 0:
                before = {
                    v: f.filter(pl.col(PARTITION) == day - DAY) for v, f in self._views.items()
                }
                made = self._step(
                    f"training {n}",
                    lambda log, saw, *facts: training_set(log, saw, facts[0], wheel, *facts[1:]),
                    logged[day - DAY],
                    before,
                    self._facts[outcome.fact],
                    *exposure,
                )
                matured.append(self._learnt(made))
            if n > 1:
                row, models = self._trained(n, day, pl.concat(matured), judged)
                if models and row["promoted"]:
                    judged = models[0][1]
                    champions.append(models[-1])
                    kept[models[-1][0]] = models[-1]
                rows.append(
                    row
                    | {
                        "champion_version": champions[-2][0]
                        if row["promoted"] and len(champions) > 1
                        else (champions[-1][0] if champions and not row["promoted"] else None)
                    }
                )
            considered = self._step(
                f"considered {n}", lambda t, h: candidates(t, wheel, h), today, history
            )
            champion = champions[-1] if champions else None
            predicted = None
            if champion is not None:
                predicted = self._step(f"scored {n}", lambda m, c: m[1](c), champion, considered)
            version = len(champions) or None
            made = self._step(
                f"decided {n}",
                lambda c, p, v, day=day: decide(c, p, wheel, day, v),
                considered,
                predicted,
                version,
            )
            decided[day] = made
            by[day] = champions[-2:]
            logged[day] = self._step(f"logged {n}", lambda d: as_observed(d, wheel), made)
            if n == N_DAYS - 1:
                saw = considered.with_columns(made_score(made, considered))
                drifts.append(self._drifted(n, saw, matured[-1], champion, pl.concat(matured), day))
                line = by[day - DAY]
                worth.append(
                    self._step(
                        f"alternatives {n}",
                        lambda m, line: _alternatives(m, wheel, line),
                        matured[-1],
                        tuple(line),
                    )
                )
        self.tables[f"{name}/decisions"] = pl.concat(decided.values())
        log = pl.concat(logged.values())
        self.tables["collect/decision"] = self.tables["organize/fct_decision"] = log
        self.tables[f"{name}/training_set"] = pl.concat(matured)
        schema = {c: t for c, t in MODEL_SCHEMA.items() if "version" not in c}
        texts = {c: pl.String() for c in MODEL_SCHEMA if "version" in c}
        order = {c: {**schema, **texts}[c] for c in MODEL_SCHEMA}
        self.tables[f"{name}/model"] = pl.DataFrame(rows, schema=order)
        self.tables[f"{name}/promotions"] = _ledger(self.tables[f"{name}/model"])
        self.tables[f"{name}/performance"] = self._step(
            "performance", lambda m: performance(m, wheel), matured[-1]
        )
        self.tables["alternatives"] = pl.concat(worth)
        self.tables[f"{name}/drift"] = pl.concat(drifts)

    def _learnt(self, made: Frame) -> Frame:
        change = self.changed
        if change is None or change.table != f"{self.wheel.name}/training_set":
            return made
        # However they are shared out, there are as many places.
        made = other(made, change.name, self.seed, PARTITION if change.name == "action" else None)
        if change.name == "propensity":
            made = made.with_columns((1 / pl.col("propensity")).alias("weight"))
        if change.name == "outcome" and self.wheel.outcome.reward is None:
            made = made.with_columns(pl.col("outcome").cast(pl.Float64).alias("reward"))
        return made

    def _trained(
        self, n: int, day: date, rows: Frame, judged: Scorer | None
    ) -> tuple[dict[str, Any], list[tuple[str, Scorer]]]:
        wheel = self.wheel

        def train(rows: Frame, judged: Scorer | None) -> tuple[Challenge, list[Scorer]]:
            scorers: list[Scorer] = []

            def admit(trained: Any, _: Frame) -> Scorer:
                scorers.append(scorer(trained, wheel))
                return scorers[-1]

            return challenge(rows, wheel, day, judged, admit), scorers

        made, scorers = self._step(f"model {n}", train, rows, judged)
        models = [self._known(f"{n}.{i}", one) for i, one in enumerate(scorers)]
        row = asdict(made.verdict)
        reason = row.pop("reason")
        return {
            PARTITION: day,
            **row,
            "trained": bool(models),
            "version": models[-1][0] if models else None,
            "judged_version": models[0][0] if models else None,
            "n_rows": made.n_rows,
            "n_holdout": made.n_holdout,
            "metric": wheel.model.metric,
            "verdict": reason,
        }, models

    def _known(self, name: str, one: Scorer) -> tuple[str, Scorer]:
        """Tell a model by what it says of what decisions of the undisturbed turn saw."""
        probe = (self.base or self).steps["considered 1"][1]
        said = sha256(one(probe).expected.tobytes()).hexdigest()[:8]
        known = self.base.steps.get(f"version {name}") if self.base else None
        found = known[1] if known and known[1][0] == said else (said, one)
        self.steps[f"version {name}"] = ((), found)
        return found

    def _drifted(
        self, n: int, saw: Frame, matured: Frame, champion: Any, rows: Frame, day: date
    ) -> Frame:
        wheel = self.wheel

        def measure(saw: Frame, matured: Frame, champion: Any, rows: Frame) -> Frame:
            known = {}
            if champion is not None:
                score = draw(rows, champion[1](rows), wheel).score
                known = profiles(profile(rows, score, wheel, 1, day))
            version = None if champion is None else 1
            return drift(saw, matured, known, wheel, version, day).rows

        made: Frame = self._step(f"drift {n}", measure, saw, matured, champion, rows)
        return made


def _ledger(model: Frame) -> Frame:
    """Write what the gate promoted as the ledger says it."""
    told = {"entry": pl.lit(0), "action": pl.lit("promote"), "by": pl.lit("gate")}
    promoted = model.filter("promoted").with_columns(pl.col("verdict").alias("reason"), **told)
    return promoted.select(*PROMOTION_SCHEMA)


def made_score(made: Frame, considered: Frame) -> pl.Series:
    """Give the scores in the order of what was considered."""
    return pl.Series("score", [0.0] * considered.height) if made.is_empty() else made["score"]


def _alternatives(matured: Frame, wheel: Flywheel, line: tuple[tuple[str, Scorer], ...]) -> Frame:
    if matured.is_empty():
        return pl.DataFrame(schema=ALTERNATIVES_SCHEMA)
    told: list[tuple[int, Predicted | str] | None] = [
        (number, one[1](matured)) for number, one in enumerate(line)
    ]
    deciding = told[-1] if told else None
    previous = told[-2] if len(told) > 1 else None
    return alternatives(matured, wheel, deciding, previous)


def _same(one: Any, two: Any) -> bool:
    if one is two:
        return True
    if isinstance(one, pl.DataFrame) and isinstance(two, pl.DataFrame):
        return one.schema == two.schema and one.equals(two)
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        return one.keys() == two.keys() and all(_same(one[k], two[k]) for k in one)
    if isinstance(one, Predicted) and isinstance(two, Predicted):
        return np.array_equal(one.expected, two.expected, equal_nan=True)
    return isinstance(one, (int, str)) and one == two


# what is different --------------------------------------------------------------------------------


def differing(one: Turned, two: Turned) -> set[Column]:
    """Name the columns that hold other values in the second turn.

    Where other rows are there, every column of the table does.
    """
    return {
        Column(table, name)
        for table in one.tables
        if table != "alternatives"
        for name in _differing(table, one, two)
    } | (
        set()
        if one.tables["alternatives"].equals(two.tables["alternatives"])
        else {Column(f"{one.wheel.name}/performance", "alternatives")}
    )


def _differing(table: str, one: Turned, two: Turned) -> Iterator[str]:
    if one.tables[table] is two.tables[table]:
        return
    keys = _keys(table, one)
    before, after = (_by_row(table, turn, keys) for turn in (one, two))
    names = [name for name in before.columns if name not in {"_row", "ranking", PARTITION}]
    if table.endswith("/performance") and after.is_empty():
        return  # no decision matured: that nothing at all is left is not counted
    if not before.select(keys).equals(after.select(keys)):
        yield from names
        return
    for name in names:
        if not before[name].equals(after[name]):
            yield name


def _keys(table: str, turn: Turned) -> list[str]:
    stage = table.rsplit("/", maxsplit=1)[-1]
    things = catalog([turn.wheel])
    if table in {"collect/decision", "organize/fct_decision"} or stage == "training_set":
        return [DECISION_ID]
    if table.startswith(("collect/", "organize/fct_")):
        return ["_row"]
    for dimension in things.dimensions:
        if table == f"organize/dim_{dimension.name}":
            return [PARTITION, *dimension.entity.keys, "valid_from", KNOWN_AT]
    for view in things.views:
        if table == f"features/{view.name}":
            return [PARTITION, *view.entity.keys]
    return {
        "decisions": [PARTITION, *turn.wheel.entity.keys],
        "performance": [PARTITION, "ranking"],
        "drift": [PARTITION, "column", "measure"],
    }.get(stage, [PARTITION])


def _by_row(table: str, turn: Turned, keys: list[str]) -> Frame:
    frame = turn.tables[table]
    if keys == ["_row"]:
        rows = turn._rows
        name = table.removeprefix("collect/")
        if table.startswith("organize/"):
            fact = next(f for f in turn._facts if f"organize/fct_{f.name}" == table)
            name = f"{fact.name}*" if f"{fact.name}*" in rows else fact.observation.name
        frame = frame.join(rows[name], on=OBSERVATION_ID, how="left")
        assert frame["_row"].null_count() == 0, table
    rest = [c for c in frame.columns if c not in keys]
    return frame.sort(*keys, *rest)
