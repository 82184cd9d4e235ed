"""Decisions: what a row of them says, and what it is called."""

import polars as pl

from flywheel_assets.declare.decide import Policy
from flywheel_assets.declare.entity_ids import joined
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.declare.rules import AS_OF, DECISION_ID, PARTITION
from flywheel_assets.stages.clock import DAY

UTC_TIME = pl.Datetime("us", "UTC")
ENTITY_ID, DECIDED_AT = "entity_id", "decided_at"

DECISION_COLUMNS: dict[str, pl.DataType] = {
    DECISION_ID: pl.String(),
    "flywheel": pl.String(),
    ENTITY_ID: pl.String(),
    DECIDED_AT: UTC_TIME,
    "action": pl.String(),
    "score": pl.Float64(),
    "rank": pl.Int64(),
    "propensity": pl.Float64(),
    "explored": pl.Boolean(),
    "model_version": pl.Int64(),
}


def decision_schema(flywheel: Flywheel) -> dict[str, pl.DataType]:
    """Give the columns of ``<flywheel>/decisions``."""
    suggested = {g.name: pl.Float64() for g in flywheel.policy.generators}
    return {PARTITION: pl.Date(), **flywheel.key_types, **suggested, **DECISION_COLUMNS}


def acted_on(policy: Policy) -> pl.Expr:
    """Say of a flywheel's decisions which acted, under a former name of holding or acting, too.

    Both have one name on a day. Where only the action's is that of today, all others are held;
    otherwise all who are not held are acted on.

    Examples
    --------
    >>> from flywheel_assets.flywheels.repurchase import contact_policy
    >>> days = {DECIDED_AT: [1, 1, 2, 2], "action": ["contact", "wait", "write", "hold"]}
    >>> pl.DataFrame(days).select(acted_on(contact_policy)).to_series().to_list()
    [True, False, True, False]
    """
    *acting, hold = policy.actions
    acts, held = pl.col("action").is_in(acting), pl.col("action") == hold
    hold_was_renamed = (acts.any() & ~held.any()).over(DECIDED_AT)
    return pl.when(hold_was_renamed).then(acts).otherwise(~held)


def entity_id(flywheel: Flywheel) -> pl.Expr:
    """Write an entity's keys as one string, other keys as another."""
    return joined([pl.col(key).cast(pl.String) for key in flywheel.entity.keys]).alias(ENTITY_ID)


def decision_id(flywheel: Flywheel) -> pl.Expr:
    """Name decisions by flywheel, partition and entity; of rows with ``as_of``."""
    day = (pl.col(AS_OF) - DAY).dt.strftime("%Y-%m-%d")
    name = pl.concat_str(pl.lit(flywheel.name), day, entity_id(flywheel), separator=":")
    return name.alias(DECISION_ID)


def day_of(decision_id: pl.Expr) -> pl.Expr:
    """Read the partition out of ids as `decision_id` writes them; of others null.

    Examples
    --------
    >>> ids = pl.Series(["repurchase:2026-01-31:7", "repurchase:2026-02-31:7", "7"])
    >>> pl.select(day_of(pl.lit(ids))).to_series().to_list()
    [datetime.date(2026, 1, 31), None, None]
    """
    day = decision_id.str.extract(r"^[^:]*:(\d{4}-\d{2}-\d{2}):")
    return day.str.to_date("%Y-%m-%d", strict=False)


def candidate_type(flywheel: Flywheel) -> pl.Struct:
    """Give the type of ``candidate`` in ``organize/fct_decision``, which is written as JSON."""
    schema = decision_schema(flywheel)
    return pl.Struct({n: t for n, t in schema.items() if n not in {PARTITION, *DECISION_COLUMNS}})
