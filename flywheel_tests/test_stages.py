"""Stages on a few literal rows."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flywheel_assets import (
    Cancellation,
    DailyFiles,
    Dimension,
    Fact,
)
from flywheel_assets.flywheels.repurchase import (
    contact_policy,
    customer_orders,
    customers,
    order_line,
    order_lines,
    repurchase,
)
from flywheel_assets.stages.collect import observation_schema, settle, validate
from flywheel_assets.stages.organize import changes, dimension_schema, fact_schema, facts, looked_up
from flywheel_assets.stages.training_set import training_set

DAY = timedelta(days=1)
OWNERS = ["team:x"]
RETRACTION = Cancellation(
    when=pl.col("invoice").str.starts_with("C"),
    becomes="retraction",
    measures=("quantity",),
    match=("customer_id", "stock_code"),
)


def at(day: int, hour: int = 12) -> datetime:
    """Give an hour of a day in January."""
    return datetime(2026, 1, 1, hour, tzinfo=UTC) + (day - 1) * DAY


def there(rows: pl.DataFrame, dimension: Dimension, moment: datetime) -> dict[int, str]:
    """Give the country of each customer who is in a dimension at a moment."""
    spine = pl.DataFrame({"customer_id": [7, 8]}).with_columns(
        pl.lit(moment).cast(pl.Datetime("us", "UTC")).alias("as_of")
    )
    found = looked_up(spine, rows, dimension, ["country"]).drop_nulls("country")
    return dict(found.select("customer_id", "country").iter_rows())


def lines(*rows: tuple[str, int, int, int, str]) -> pl.DataFrame:
    """Make observed order lines: invoice, day, quantity, customer, country."""
    return pl.DataFrame(
        [
            {
                "partition_date": at(day).date(),
                "observation_id": f"{i}-{invoice}",
                "event_time": at(day),
                "known_at": at(day),
                "invoice": invoice,
                "stock_code": "A",
                "description": None,
                "quantity": quantity,
                "unit_price": 2.0,
                "customer_id": who,
                "country": country,
            }
            for i, (invoice, day, quantity, who, country) in enumerate(rows)
        ],
        schema=observation_schema(order_line),
    )


def test_a_cancellation_is_a_negative_fact() -> None:
    """Its measures are negative whatever sign it came with, and sums come out net."""
    fact = order_lines
    rows = lines(("1", 1, 5, 7, "UK"), ("C2", 2, -5, 7, "UK"), ("C3", 3, 4, 7, "UK"))
    found = facts(rows, pl.DataFrame(schema=fact_schema(fact)), fact)
    assert found["quantity"].to_list() == [5, -5, -4]
    assert found["revenue"].to_list() == [10.0, -10.0, -8.0]
    assert found["is_cancellation"].to_list() == [False, True, True]


def test_a_retraction_withdraws_the_newest_match() -> None:
    """Each retraction takes one earlier row, the newest that is left; one without any stays."""
    fact = Fact(
        name="order_line",
        observation=order_line,
        owners=OWNERS,
        description="Lines.",
        cancellation=RETRACTION,
    )
    rows = lines(
        ("1", 1, 5, 7, "UK"),
        ("2", 2, 5, 7, "UK"),
        ("C3", 3, -5, 7, "UK"),
        ("C4", 4, -5, 7, "UK"),
        ("C5", 5, -5, 7, "UK"),
    )
    nothing = pl.DataFrame(schema=fact_schema(fact))
    whole = facts(rows, nothing, fact)
    assert whole["retracts"].to_list() == [None, None, "1-2", "0-1", None]
    daily = nothing
    for day in rows.partition_by("partition_date", maintain_order=True):
        daily = pl.concat([daily, facts(day, daily, fact)])
    assert daily.equals(whole)


def test_retractions_of_equal_rows_on_one_day_take_one_row_each() -> None:
    """Two cancellations of one day withdraw two rows, and a third finds nothing."""
    fact = Fact(
        name="order_line",
        observation=order_line,
        owners=OWNERS,
        description="Lines.",
        cancellation=RETRACTION,
    )
    rows = lines(
        *(("1", 1, 5, 7, "UK"), ("2", 2, 5, 7, "UK"), ("3", 2, 4, 7, "UK"), ("4", 2, 5, 8, "UK")),
        *(("C5", 3, -5, 7, "UK"), ("C6", 3, -5, 7, "UK"), ("C7", 3, -5, 7, "UK")),
        *(("8", 4, 5, 7, "UK"), ("C9", 4, -5, 7, "UK")),
    )
    found = facts(rows, pl.DataFrame(schema=fact_schema(fact)), fact)
    paired = dict(found.filter("is_cancellation").select("invoice", "retracts").iter_rows())
    assert paired == {"C5": "1-2", "C6": "0-1", "C7": None, "C9": "7-8"}


def test_a_dimension_keeps_changes() -> None:
    """A value told again is no change; as of a moment the newest known value holds."""
    rows = lines(("1", 1, 1, 7, "UK"), ("2", 2, 1, 7, "UK"), ("3", 3, 1, 7, "France"))
    nothing = pl.DataFrame(schema=dimension_schema(customers))
    whole = changes(rows, nothing, customers)
    assert whole["country"].to_list() == ["UK", "France"]
    daily = nothing
    for day in rows.partition_by("partition_date", maintain_order=True):
        daily = pl.concat([daily, changes(day, daily, customers)])
    assert daily.equals(whole)
    assert there(whole, customers, at(3, 0)) == {7: "UK"}
    assert there(whole, customers, at(4, 0)) == {7: "France"}


def dumped() -> Dimension:
    """Declare a dimension whose source delivers all of itself each day."""
    assert isinstance(order_line.source, DailyFiles)
    source = replace(order_line.source, full_dump=True)
    return replace(customers, observation=replace(order_line, source=source))


def test_what_is_gone_from_a_dump_is_closed() -> None:
    """It is there until the dump without it, not after, and again when it comes back."""
    dump = dumped()
    rows = lines(
        ("1", 1, 1, 7, "UK"), ("2", 1, 1, 8, "UK"), ("3", 2, 1, 8, "UK"), ("4", 3, 1, 7, "UK")
    )
    found = changes(rows, pl.DataFrame(schema=dimension_schema(dump)), dump)
    found_on = [sorted(there(found, dump, at(d, 0))) for d in (2, 3, 4)]
    assert found_on == [[7, 8], [8], [7]]


def test_a_dump_whose_rows_are_old_is_told_anew_each_day() -> None:
    """The same old row in two dumps is there both times; one that left and came back is there."""
    dump = dumped()
    assert dump.observation.source is not None
    old = "2025-06-01 08:00:00"
    found: list[pl.DataFrame] = []
    for day in (date(2026, 1, 5), date(2026, 1, 6)):
        checked = validate(raw(("1", old), day=day), dump.observation, dump.observation.source)
        known = pl.concat([pl.DataFrame(schema=observation_schema(order_line)), *found])
        found.append(settle(checked, known, dump.observation).observations)
    assert [f.height for f in found] == [1, 1]
    rows = lines(*(("1", d, 1, who, "UK") for d, who in ((1, 7), (1, 8), (2, 8), (3, 7), (3, 8))))
    rows = rows.with_columns(pl.lit(at(1) - 200 * DAY).dt.cast_time_unit("us").alias("event_time"))
    whole = changes(rows, pl.DataFrame(schema=dimension_schema(dump)), dump)
    found_on = [sorted(there(whole, dump, at(d, 0))) for d in (2, 3, 4)]
    assert found_on == [[7, 8], [8], [7, 8]]
    daily = pl.DataFrame(schema=dimension_schema(dump))
    for day_rows in rows.partition_by("partition_date", maintain_order=True):
        daily = pl.concat([daily, changes(day_rows, daily, dump)])
    assert daily.sort(daily.columns).equals(whole.sort(whole.columns))


def raw(*rows: tuple[str, str], day: date = date(2026, 1, 5)) -> pl.DataFrame:
    """Make raw records of one file: quantity, time."""
    source = order_line.source
    assert source is not None
    columns = {source.source_column(f.name): "1" for f in order_line.fields}
    return pl.DataFrame(
        [{**columns, "Quantity": q, "InvoiceDate": t} for q, t in rows]
    ).with_columns(
        pl.int_range(1, pl.len() + 1).alias("_line"),
        pl.lit("f").alias("_file"),
        pl.lit(None, dtype=pl.String).alias("_problem"),
        pl.lit(None, dtype=pl.String).alias("_raw"),
        pl.lit(day).alias("_file_day"),
    )


def test_every_record_is_collected_rejected_or_a_duplicate() -> None:
    """Copies count once, within the horizon also across batches; broken records have a reason."""
    assert isinstance(order_line.source, DailyFiles)
    time = "2026-01-05 08:00:00"
    checked = validate(
        raw(("1", time), ("1", time), ("x", time), ("2", time)), order_line, order_line.source
    )
    nothing = pl.DataFrame(schema=observation_schema(order_line))
    first = settle(checked, nothing, order_line)
    assert first.accounts.row(0)[1:] == (4, 2, 1, 1)
    assert "quantity" in first.rejected["reason"][0]
    assert '"Quantity":"x"' in first.rejected["record"][0]
    again = settle(checked, first.observations, order_line)
    assert again.accounts.row(0)[1:] == (4, 0, 1, 3)
    old = first.observations.with_columns(pl.col("partition_date") - pl.duration(days=31))
    assert settle(checked, old, order_line).observations.height == 2


Sent = tuple[int, str]


@given(
    sent=st.lists(st.tuples(st.integers(1, 16), st.sampled_from("12x")), min_size=1, max_size=12),
    lengths=st.lists(st.integers(1, 5), min_size=16, max_size=16),
)
@example(sent=[(1, "1"), (4, "1"), (6, "2")], lengths=[2, 5, *[5] * 14])
@settings(max_examples=100, deadline=None)
def test_how_days_are_grouped_into_runs_changes_nothing(
    sent: list[Sent], lengths: list[int]
) -> None:
    """One id that comes again and again, as it was or not, within five days and after: as daily."""
    observation = replace(order_line, duplicates_within=5 * DAY)
    assert isinstance(observation.source, DailyFiles)
    rows = raw(*((quantity, f"2026-01-{day:02} 08:00:00") for day, quantity in sorted(sent)))
    checked = validate(rows, observation, observation.source).with_columns(
        pl.Series("partition_date", [at(day).date() for day, _ in sorted(sent)], pl.Date),
        observation_id=pl.lit("one"),
        event_time=pl.lit(at(1)).dt.cast_time_unit("us"),
    )

    def collected(runs: list[int]) -> list[pl.DataFrame]:
        known = pl.DataFrame(schema=observation_schema(observation))
        made, first = [], at(1).date()
        for length in runs:
            day, end = pl.col("partition_date"), first + length * DAY
            made.append(
                settle(
                    checked.filter(day >= first, day < end),
                    known.filter(day >= first - 5 * DAY),
                    observation,
                )
            )
            known, first = pl.concat([known, made[-1].observations]), end
        tables = zip(*((m.observations, m.rejected, m.accounts) for m in made), strict=True)
        return [pl.concat(table) for table in tables]

    for daily, grouped in zip(collected([1] * 16), collected(lengths), strict=True):
        assert grouped.equals(daily)


def test_the_edges_of_the_outcome() -> None:
    """At T counts to the outcome, at T + horizon does not, and news after maturity does not."""
    outcome = repurchase.outcome
    decided = datetime(2026, 1, 6, tzinfo=UTC)
    matured = date(2026, 1, 5) + outcome.matures_after
    fact = outcome.fact
    for event, known, label in [
        (decided, decided, 1),
        (decided - timedelta(seconds=1), decided, 0),
        (decided + outcome.horizon - timedelta(seconds=1), decided + outcome.horizon - DAY, 1),
        (decided + outcome.horizon, decided + outcome.horizon, 0),
        (decided + DAY, decided + outcome.horizon, 0),
    ]:
        row = lines(("1", 6, 1, 7, "UK")).with_columns(
            pl.lit(event).cast(pl.Datetime("us", "UTC")).alias("event_time"),
            pl.lit(known).cast(pl.Datetime("us", "UTC")).alias("known_at"),
        )
        made = facts(row, pl.DataFrame(schema=fact_schema(fact)), fact)
        found = training_set(
            decision(decided), {customer_orders: snapshot_of(decided)}, made, repurchase
        )
        assert found["partition_date"].to_list() == [matured]
        assert found["outcome"].to_list() == [label], (event, known)


@pytest.mark.parametrize(("n_rows", "label"), [(1, 0), (2, 1), (3, 1)])
def test_an_outcome_may_take_several_rows(n_rows: int, label: int) -> None:
    """As many as are declared, whoever they answer; what they are worth is summed as ever."""
    decided = datetime(2026, 1, 6, tzinfo=UTC)
    fact = repurchase.outcome.fact
    rows = lines(*((str(n), 8, 3, 7, "UK") for n in range(n_rows)))
    made = facts(rows, pl.DataFrame(schema=fact_schema(fact)), fact)
    twice = replace(repurchase, training_set=replace(repurchase.training_set, at_least=2))
    found = training_set(decision(decided), {customer_orders: snapshot_of(decided)}, made, twice)
    assert found["outcome"].to_list() == [label]


@pytest.mark.parametrize(("answers", "label"), [(None, 1), ("d", 1), ("another", 0)])
def test_what_names_its_decision_is_that_decisions_alone(answers: str | None, label: int) -> None:
    """Attribution is by id where there is one, by entity and horizon where there is none."""
    decided = datetime(2026, 1, 6, tzinfo=UTC)
    rows = lines(("1", 8, 3, 7, "UK")).with_columns(
        pl.lit(answers, dtype=pl.String).alias("decision_id")
    )
    fact = repurchase.outcome.fact
    made = facts(rows, pl.DataFrame(schema=fact_schema(fact)), fact)
    found = training_set(
        decision(decided), {customer_orders: snapshot_of(decided)}, made, repurchase
    )
    assert found["outcome"].to_list() == [label]


def decision(decided: datetime) -> pl.DataFrame:
    """Make one logged decision about customer 7."""
    return pl.DataFrame(
        {
            "partition_date": [decided.date()],
            "decision_id": ["d"],
            "flywheel": ["repurchase"],
            "entity_id": ["7"],
            "decided_at": [decided],
            "action": [contact_policy.action],
            "score": [0.5],
            "rank": [1],
            "propensity": [0.5],
            "explored": [False],
            "model_version": [1],
            "candidate": ['{"customer_id":7}'],
        }
    )


def snapshot_of(decided: datetime) -> pl.DataFrame:
    """Make the features that it saw."""
    names = customer_orders.descriptions
    values: dict[str, Any] = dict.fromkeys(names, 1.0)
    return pl.DataFrame(
        {
            "partition_date": [decided.date() - DAY],
            "as_of": [decided],
            "customer_id": [7],
            **{k: [v] for k, v in values.items()},
        }
    )


def test_a_change_after_late_news_is_kept() -> None:
    """News of an older value between two values does not hide the newer one."""
    rows = lines(("1", 3, 1, 7, "UK"), ("2", 1, 1, 7, "France"), ("3", 4, 1, 7, "France"))
    late = rows.with_columns(
        pl.Series("partition_date", [date(2026, 1, 3), date(2026, 1, 4), date(2026, 1, 4)]),
        pl.Series("known_at", [at(3), at(4), at(4)]).cast(pl.Datetime("us", "UTC")),
    )
    found = changes(late, pl.DataFrame(schema=dimension_schema(customers)), customers)
    assert there(found, customers, at(5, 0)) == {7: "France"}
