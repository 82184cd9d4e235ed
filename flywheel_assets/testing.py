"""A declaration tried on a few literal rows: these observations, so these features and decisions.

Nothing is stored and no Dagster is started: the stages' own functions compute what the loop would.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from flywheel_assets.declare.collect import Observation
from flywheel_assets.declare.features import FeatureView
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.declare.rules import (
    EVENT_TIME,
    KNOWN_AT,
    OBSERVATION_ID,
    PARTITION,
)
from flywheel_assets.errors import ColumnsError, SourceError, nearest
from flywheel_assets.rehearsal import Observations, Rehearsal, Remembered, as_observed, as_raw
from flywheel_assets.stages.candidates import counts_back
from flywheel_assets.stages.clock import days
from flywheel_assets.stages.collect import CONFLICT, validate
from flywheel_assets.stages.features import at_moments
from flywheel_assets.stages.parsing import LINKS
from flywheel_assets.stages.received import API
from flywheel_assets.stages.training_set import LABEL, REWARD, ahead, training_set

UTC_TIME = pl.Datetime("us", "UTC")


class Rows:
    """A flywheel on a few literal rows.

    Parameters
    ----------
    flywheel : Flywheel
    observations : mapping of str to sequence of mapping
        By the observation's name its records, each a mapping: the declared fields, ``event_time``,
        and, where they say something, ``known_at`` (``event_time``, if left out), ``decision_id``,
        ``observation_id``, ``corrects``, ``retracts``. Times are datetimes or ISO 8601 text, in
        UTC unless they say otherwise.
    may_reject : bool
        Whether records may break the contract; they are in `rejected` then.

    Attributes
    ----------
    rejected : DataFrame
        ``observation``, ``reason`` and ``record`` of those that break the contract.

    Raises
    ------
    ColumnsError
        For observations and fields that are not declared.
    SourceError
        For a record that breaks the contract, unless `may_reject`.

    Examples
    --------
    >>> from datetime import UTC
    >>> from flywheel_assets.flywheels.repurchase import repurchase
    >>> line = {"stock_code": "A", "quantity": 2, "unit_price": 1.5, "country": "France"}
    >>> loop = Rows(repurchase, {"order_line": [
    ...     {**line, "invoice": "1", "customer_id": 7, "event_time": "2026-01-05 10:00"},
    ...     {**line, "invoice": "2", "customer_id": 8, "event_time": "2026-01-05 11:00"},
    ...     {**line, "invoice": "3", "customer_id": 8, "event_time": "2026-01-09 12:00"},
    ... ]})
    >>> seen = loop.features(at=datetime(2026, 1, 6, tzinfo=UTC)).sort("customer_id")
    >>> seen.select("customer_id", "orders_30d", "revenue_30d").rows()
    [(7, 1, 3.0), (8, 1, 3.0)]
    >>> loop.decisions(date(2026, 1, 5)).select("customer_id", "rank", "action").rows()
    [(8, 1, 'contact'), (7, 2, 'contact')]
    >>> loop.labels(date(2026, 1, 5)).select("customer_id", "outcome").sort("customer_id").rows()
    [(7, 0), (8, 1)]
    """

    def __init__(
        self,
        flywheel: Flywheel,
        observations: Mapping[str, Sequence[Mapping[str, Any]]],
        *,
        may_reject: bool = False,
    ) -> None:
        self.flywheel = flywheel
        known = {o.name: o for o in catalog([flywheel]).observations}
        for name in observations:
            if name not in known:
                raise ColumnsError(
                    expected=f"observations that {flywheel.name!r} declares",
                    found=repr(name),
                    remedy=nearest(name, known),
                )
        told = {name: _Told(known[name], rows) for name, rows in observations.items()}
        rejected = [one.rejected for one in told.values()]
        self.rejected: pl.DataFrame = pl.concat([_NONE, *rejected])
        if self.rejected.height and not may_reject:
            first = self.rejected.row(0, named=True)
            raise SourceError(
                expected=f"records of {first['observation']!r} that fit its contract",
                found=f"{first['reason']}, in {first['record']}",
                remedy="correct the record, or write may_reject=True and look at .rejected",
            )
        self._told = {name: one.sound for name, one in told.items()}

    def features(self, at: datetime, view: str | None = None) -> pl.DataFrame:
        """Compute a feature view as of a moment (UTC).

        Parameters
        ----------
        view : str, optional
            Its name; the flywheel's first without it.

        Returns
        -------
        DataFrame
            ``as_of``, the entity's keys and the features; one row for each entity in the view.
        """
        chosen = self._view(view)
        tables = self._all()
        dimensions = {d: tables.dimension(d) for d in chosen.dimensions}
        return at_moments(tables.fact(chosen.fact, None), dimensions, chosen, [at])

    def decisions(self, day: date) -> pl.DataFrame:
        """Decide when a day closes, by the bootstrap rule.

        Returns
        -------
        DataFrame
            As in ``<flywheel>/decisions``, best first: keys, action, score, rank, propensity.
        """
        return self._decided(day).decisions

    def labels(self, day: date) -> pl.DataFrame:
        """Say what came of a day's decisions, as far as the rows go.

        Returns
        -------
        DataFrame
            The entity's keys, ``decision_id``, ``action``, ``outcome`` (1 or 0) and ``reward``. A
            decision that the outcome's exposure never told to have been carried out is left out.
        """
        flywheel, outcome = self.flywheel, self.flywheel.outcome
        decided, tables = self._decided(day), self._all()
        exposure = (outcome.exposure,) if outcome.exposure else ()
        rows = training_set(
            as_observed(decided.decisions, flywheel),
            {view: tables.features(view, day) for view in flywheel.views},
            tables.fact(outcome.fact, day - ahead(outcome.fact)),
            flywheel,
            *(tables.fact(fact, day - ahead(fact)) for fact in exposure),
        )
        return rows.select(*flywheel.entity.keys, "decision_id", "action", LABEL, REWARD)

    def _view(self, name: str | None) -> FeatureView:
        for view in self.flywheel.views:
            if name in (None, view.name):
                return view
        raise ColumnsError(
            expected=f"a feature view of {self.flywheel.name!r}",
            found=repr(name),
            remedy=nearest(str(name), [view.name for view in self.flywheel.views]),
        )

    def _decided(self, day: date) -> Rehearsal:
        """Turn to a day: days before are history, but for those that a frequency cap counts."""
        counted = counts_back(self.flywheel.policy)
        first = day if counted is None else day - counted
        rehearsal = Rehearsal(self.flywheel, _World(self._told, first), learning="never")
        for turned in days(first, day):
            rehearsal.turn(turned)
        return rehearsal

    def _all(self) -> Remembered:
        """Collect and organize all rows."""
        tables = Remembered(self.flywheel)
        tables.remember(_by_day(self._told))
        return tables


_NONE = pl.DataFrame(schema={"observation": pl.String, "reason": pl.String, "record": pl.String})


class _Told:
    """The records of one observation, parted into sound ones and rejects."""

    def __init__(self, observation: Observation, rows: Sequence[Mapping[str, Any]]) -> None:
        frame = _frame(observation, rows)
        checked = validate(as_raw(frame, observation), observation, API)
        is_sound = checked["reason"].is_null()
        typed = frame.select(c for c in (OBSERVATION_ID, *LINKS) if c in frame.columns)
        self.sound = checked.select(
            PARTITION, *observation.schema, EVENT_TIME, KNOWN_AT
        ).with_columns(typed.get_columns())
        self.sound, told_again = self.sound.filter(is_sound), checked.filter(is_sound)
        conflicts = told_again.filter(_conflicts(self.sound)).with_columns(reason=pl.lit(CONFLICT))
        self.rejected = pl.concat([checked.filter(~is_sound), conflicts]).select(
            pl.lit(observation.name).alias("observation"), "reason", "record"
        )


def _conflicts(sound: pl.DataFrame) -> pl.Series:
    """Say which rows have the id of one that was known before, and other content."""
    if OBSERVATION_ID not in sound.columns:
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, sound.height)
    told = pl.struct(pl.exclude(PARTITION, KNOWN_AT)).hash()
    first = told.sort_by(KNOWN_AT).first().over(OBSERVATION_ID)
    named = pl.col(OBSERVATION_ID).is_not_null()
    return sound.select((named & (told != first)).alias("conflict"))["conflict"]


def _frame(observation: Observation, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    said = [EVENT_TIME, KNOWN_AT, OBSERVATION_ID, *LINKS]
    valid = [*observation.schema, *said]
    for row in rows:
        for name in row:
            if name not in valid:
                raise ColumnsError(
                    expected=f"records of {observation.name!r} of its fields and {', '.join(said)}",
                    found=repr(name),
                    remedy=nearest(name, valid),
                )
    dtypes = {**observation.schema, EVENT_TIME: UTC_TIME, KNOWN_AT: UTC_TIME}
    columns = []
    for name in valid:
        values = [row.get(name) for row in rows]
        if name in {EVENT_TIME, KNOWN_AT}:
            values = [_moment(value) for value in values]
        columns.append(_column(name, values, dtypes.get(name, pl.String())))
    frame = pl.DataFrame(columns)
    known = pl.coalesce(pl.col(KNOWN_AT), pl.col(EVENT_TIME))
    return frame.with_columns(known if frame[KNOWN_AT].null_count() else pl.col(KNOWN_AT))


def _column(name: str, values: list[Any], dtype: Any) -> pl.Series:
    """Keep values as they are where all are of the type, and as text where not: to be judged."""
    try:
        return pl.Series(name, values, dtype=dtype, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)


def _moment(value: Any) -> Any:
    """Read a time as people write it; what is none stays as it is, to be judged."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _by_day(told: Mapping[str, pl.DataFrame]) -> Iterator[tuple[date, Observations]]:
    """Give the rows day by day, oldest first."""
    dates = sorted({day for rows in told.values() for day in rows[PARTITION]})
    for day in dates:
        yield day, _of(told, day)


def _of(told: Mapping[str, pl.DataFrame], day: date) -> Observations:
    found = {name: rows.filter(pl.col(PARTITION) == day) for name, rows in told.items()}
    return {name: rows.drop(PARTITION) for name, rows in found.items() if rows.height}


class _World:
    """A product that tells what it is given, whatever was decided."""

    def __init__(self, told: Mapping[str, pl.DataFrame], first: date) -> None:
        self._told, self._first = told, first

    def history(self) -> Iterator[tuple[date, Observations]]:
        """Give the days before the first decision."""
        return ((day, rows) for day, rows in _by_day(self._told) if day < self._first)

    def day(self, day: date, decisions: pl.DataFrame) -> Observations:  # noqa: ARG002  nothing reacts
        """Tell a day's rows."""
        return _of(self._told, day)
