"""A declaration that cannot mean anything is an error at import."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl
import pytest
from polars.selectors import numeric

import flywheel_assets
from flywheel_assets import (
    Aggregation,
    Arm,
    Arms,
    Cancellation,
    DailyFiles,
    DeclarationError,
    Drift,
    Entity,
    Epsilon,
    Expression,
    Field,
    FrequencyCap,
    Gate,
    Pairs,
    Reference,
    Slate,
    Softmax,
    TableFile,
    Thompson,
    Threshold,
    TopK,
)
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import catalog
from flywheel_assets.declare.rules import DECISION_FIELDS
from flywheel_assets.flywheels.repurchase import (
    contact_policy,
    customer_orders,
    customers,
    order_line,
    order_lines,
    order_probability,
    ordered_again,
    repurchase,
)
from flywheel_assets.stages.decisions import DECISION_COLUMNS
from flywheel_assets.stages.training_set import LABEL, REWARD, WEIGHT
from flywheel_tests.shelf import shelf

DAY = timedelta(days=1)
slates = shelf()


def count(**changes: Any) -> Aggregation:
    """Declare a count, with changes."""
    return Aggregation(**{"name": "n", "function": "count", "description": "N.", **changes})


def timeless() -> Any:
    """Declare a window over a fact whose rows have no time."""
    source = DailyFiles(path="x")
    fact = replace(order_lines, observation=replace(order_line, source=source))
    return replace(customer_orders, fact=fact)


def named_as_a_feature() -> Any:
    """Declare a generator whose strength is called as a feature is."""
    pairs = slates.policy.candidates
    assert isinstance(pairs, Pairs)
    generators = (replace(pairs.generators[0], name="sold_30d"),)
    policy = replace(slates.policy, candidates=replace(pairs, generators=generators))
    return replace(slates, decisions=policy)


# Beside all that the view's expressions are computed from.
score = replace(customer_orders.aggregations[0], name="score")

CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "no owner": (lambda: replace(order_line, owners=[]), "add owners"),
    "a bad owner": (lambda: replace(order_line, owners=["growth"]), "team:growth"),
    "a name for no table": (lambda: replace(order_line, name="Order/Line"), "lower-case"),
    "a name that is ours": (lambda: replace(repurchase, name="collect"), "the name of a stage"),
    "a reserved field": (
        lambda: Field(name="known_at", dtype=pl.Int64, description=""),
        "rename the field",
    ),
    "a type for no table": (
        lambda: Field(name="a", dtype=pl.Categorical, description=""),
        "use one of",
    ),
    "a key that is no field": (
        lambda: replace(order_line, fields=order_line.fields[:1]),
        "customer_id",
    ),
    "a field twice": (
        lambda: replace(order_line, fields=order_line.fields * 2),
        "'invoice' twice",
    ),
    "keys as a string": (
        lambda: Entity(name="e", keys="abc", owners=["team:x"], description=""),  # type: ignore[arg-type]  # the mistake
        "a tuple of key columns",
    ),
    "a mapped field that is none": (
        lambda: replace(order_line, source=DailyFiles(path="x", columns={"quantitty": "Q"})),
        "did you mean 'quantity'",
    ),
    "no such time zone": (lambda: DailyFiles(path="x", time_zone="Europe/Londn"), "IANA"),
    "a delay and a known_at": (
        lambda: TableFile(path="x", event_time="t", known_at="k", delay=DAY),
        "leave one",
    ),
    "a file without a day": (lambda: DailyFiles(path="x", pattern="orders.csv"), "{day}"),
    "a table without a time": (lambda: TableFile(path="x"), "neither event_time nor known_at"),
    "a time without a zone": (
        lambda: Field(name="a", dtype=pl.Datetime, default=datetime(2026, 1, 1), description=""),  # noqa: DTZ001  the mistake
        "tzinfo=UTC",
    ),
    "an allowed time that is a day": (
        lambda: Field(name="a", dtype=pl.Datetime, allowed=(date(2026, 1, 1),), description=""),
        "tzinfo=UTC",
    ),
    "a derived column of several at once": (
        lambda: replace(order_lines, derive={"a": pl.sum_horizontal(pl.col("quantity", "x"))}),
        "for pl.col('a', 'b')",
    ),
    "rows told by a pattern": (
        lambda: replace(
            customer_orders, aggregations=(count(where=pl.col("^quantity$") > 0),), expressions=()
        ),
        "by its own name",
    ),
    "an expression over a selector": (
        lambda: replace(
            customer_orders,
            expressions=(
                Expression(name="a", expression=pl.sum_horizontal(numeric()), description=""),
            ),
        ),
        "by its own name",
    ),
    "a derived column of nothing": (
        lambda: replace(order_lines, derive={"a": pl.col("unitprice")}),
        "did you mean 'unit_price'",
    ),
    "a cancellation of another kind": (
        lambda: replace(
            order_lines,
            cancellation=Cancellation(when=pl.lit(1), becomes="x", measures=()),  # type: ignore[arg-type]  # the mistake
        ),
        "negative_fact",
    ),
    "no such function": (lambda: count(function="summ", column="revenue"), "did you mean 'sum'"),
    "a feature named as a decision's column": (
        lambda: replace(
            repurchase,
            features=replace(customer_orders, aggregations=(*customer_orders.aggregations, score)),
        ),
        "rename one of them",
    ),
    "a sum of nothing": (lambda: count(function="sum"), "add column"),
    "a window of nothing": (lambda: count(window=timedelta(0)), "above zero"),
    "a column that is not there": (
        lambda: replace(customer_orders, aggregations=(count(column="revenu"),), expressions=()),
        "did you mean 'revenue'",
    ),
    "a window without a time": (timeless, "event_time"),
    "an expression over nothing": (
        lambda: replace(
            customer_orders,
            expressions=(Expression(name="a", expression=pl.col("orders_7"), description=""),),
        ),
        "did you mean 'orders_7d'",
    ),
    "a feature twice": (
        lambda: replace(customer_orders, aggregations=customer_orders.aggregations * 2),
        "twice",
    ),
    "an outcome of part of a day": (
        lambda: replace(ordered_again, horizon=timedelta(hours=3)),
        "whole days",
    ),
    "an outcome of no row at all": (
        lambda: replace(ordered_again, at_least=0),
        "one or more",
    ),
    "a model of a feature that is none": (
        lambda: replace(repurchase, model=replace(order_probability, features=("log_orders",))),
        "log_orders_7d",
    ),
    "an estimator that is built": (
        lambda: replace(order_probability, estimator=object()),  # type: ignore[arg-type]  # the mistake
        "wrap it",
    ),
    "no days to train on": (
        lambda: replace(order_probability, gate=Gate(holdout=90 * DAY)),
        "lengthen training_window",
    ),
    "a weekday that is none": (
        lambda: replace(order_probability, retrain="mondays"),  # type: ignore[arg-type]  # the mistake
        "monday",
    ),
    "a threshold with a draw": (
        lambda: replace(
            contact_policy,
            allocation=Threshold(at=0.5, action="contact"),
            exploration=Softmax(temperature=1),
        ),
        "explores by Epsilon",
    ),
    "a generator of a kind that is none": (
        lambda: replace(slates.policy.generators[0], kind="poplar"),  # type: ignore[arg-type]  # the mistake
        "did you mean 'popular'",
    ),
    "a limit of none in a slate": (
        lambda: Slate(size=2, per="customer_id", at_most={"kind": 0}),
        "give how many",
    ),
    "a slate limited by what is not there": (
        lambda: shelf(allocation=Slate(size=2, per="customer_id", at_most={"kinds": 1})),
        "did you mean 'kind'",
    ),
    "a place for each of what is not there": (
        lambda: shelf(allocation=TopK(capacity=2, action="show", each="kinds")),
        "did you mean 'kind'",
    ),
    "pairs of a view that is no feature": (
        lambda: replace(slates, features=slates.views[1:]),
        "add it to features",
    ),
    "a generator named as a feature": (named_as_a_feature, "'sold_30d' twice"),
    "Thompson sampling without replicates": (
        lambda: shelf(exploration=Thompson()),
        "replicates=20",
    ),
    "a column of later rows": (
        lambda: replace(order_lines, derive={"next": pl.col("quantity").shift(-1)}),
        "an Aggregation over a window",
    ),
    "a column that compares with all rows, later ones among them": (
        lambda: replace(
            order_lines, derive={"more": pl.col("quantity") - pl.col("quantity").mean()}
        ),
        "an Aggregation over a window",
    ),
    "a capacity in quotes": (
        lambda: TopK(capacity="20", action="show"),  # type: ignore[arg-type]  # the mistake
        "a capacity as a whole number; found '20'",
    ),
    "half a place": (
        lambda: TopK(capacity=2.5, action="show"),  # type: ignore[arg-type]  # the mistake
        "as a whole number",
    ),
    "a level in quotes": (
        lambda: Threshold(at="0.5", action="show"),  # type: ignore[arg-type]  # the mistake
        "a threshold as a number",
    ),
    "a share in quotes": (
        lambda: Epsilon(share="0.1"),  # type: ignore[arg-type]  # the mistake
        "without quotes",
    ),
    "a temperature in quotes": (
        lambda: Softmax(temperature="1"),  # type: ignore[arg-type]  # the mistake
        "without quotes",
    ),
    "an arm's number in quotes": (
        lambda: Arm(name="low", features={"price": "2.99"}),  # type: ignore[dict-item]  # the mistake
        "feature 'price' of arm 'low' as a number",
    ),
    "a share that is no place": (
        lambda: replace(contact_policy, allocation=TopK(capacity=5, action="contact")),
        "write share=0.2 for one place",
    ),
    "an action called as the other is": (
        lambda: TopK(capacity=2, action="hold"),
        "actions with names of their own; found 'hold' twice",
    ),
    "a level with one action": (lambda: Threshold(at=0.5, action="hold"), "'hold' twice"),
    "a slate with one action": (
        lambda: Slate(size=2, per="customer_id", action="show", hold="show"),
        "'show' twice",
    ),
    "an arm twice": (lambda: Arms(arms=(Arm(name="low"),) * 2), "'low' twice"),
    "a gate that nothing passes": (
        lambda: replace(order_probability, gate=Gate(minimum=50)),
        "no roc_auc is better than 1",
    ),
    "a gate that nothing passes, where less is better": (
        lambda: replace(order_probability, metric="log_loss", gate=Gate(minimum=-0.1)),
        "no log_loss is better than 0",
    ),
    "a bar that is no number": (
        lambda: replace(order_probability, metric="qini", gate=Gate(minimum=math.nan)),
        "minimum of a gate as a number; found nan",
    ),
    "a gain in quotes": (
        lambda: Gate(minimum_gain="0.1"),  # type: ignore[arg-type]  # the mistake
        "minimum_gain of a gate as a number",
    ),
    "a gain that is no number": (lambda: Gate(minimum_gain=math.nan), "found nan"),
    "a policy's gain in quotes": (
        lambda: Gate(minimum_policy_gain="0.1"),  # type: ignore[arg-type]  # the mistake
        "minimum_policy_gain of a gate as a number",
    ),
    "a confidence in quotes": (
        lambda: Gate(confidence="0.9"),  # type: ignore[arg-type]  # the mistake
        "confidence of a gate as a number",
    ),
    "a warning in quotes": (
        lambda: Drift(ks_warn="0.1"),  # type: ignore[arg-type]  # the mistake
        "ks_warn of a drift as a number",
    ),
    "half a replicate": (
        lambda: replace(order_probability, replicates=2.5),  # type: ignore[arg-type]  # the mistake
        "as a whole number",
    ),
    "a level that is no number": (
        lambda: Threshold(at=math.nan, action="contact"),
        "a threshold as a number; found nan",
    ),
    "a cap in quotes": (
        lambda: FrequencyCap(times="2", within=7 * DAY),  # type: ignore[arg-type]  # the mistake
        "times of a frequency cap as a whole number",
    ),
    "a calibration error above all there can be": (
        lambda: Gate(maximum_calibration_error=5),
        "as a share from 0 to 1",
    ),
    "a warning above the error": (
        lambda: Drift(psi_warn=0.5),
        "found psi_warn=0.5, psi_error=0.25",
    ),
    "an encoding that is none": (
        lambda: TableFile(path="x", event_time="t", encoding="latin-99"),
        "write for example 'latin-1'",
    ),
    "an encoding that is of no text": (
        lambda: TableFile(path="x", event_time="t", encoding="hex"),
        "an encoding that Python knows",
    ),
    "a separator of two characters": (
        lambda: TableFile(path="x", event_time="t", separator="::"),
        "a separator of one ASCII character",
    ),
    "a separator of none": (lambda: DailyFiles(path="x", separator=""), "write for example ';'"),
    "a time format of another language": (
        lambda: TableFile(path="x", event_time="t", time_format="DD.MM.YYYY"),
        "'%d.%m.%Y %H:%M'",
    ),
    "one time format of several that is none": (
        lambda: DailyFiles(path="x", event_time="t", time_format=("%Y-%m-%d", "")),
        "time_format as of strptime",
    ),
    "a baseline called as the score": (
        lambda: replace(contact_policy, baselines={"score": pl.col("recency_days")}),
        "'score' twice",
    ),
    "too much exploration": (lambda: Epsilon(share=2), "0.1 for 10%"),
    "candidates by what is not there": (
        lambda: replace(repurchase, decisions=replace(contact_policy, candidates=pl.col("x"))),
        "'x'",
    ),
}


@pytest.mark.parametrize(
    ("declare", "option"),
    [
        (partial(Field, name="a", dtype=pl.String, description=""), "allowed"),
        (partial(replace, order_line), "id_fields"),
        (partial(TableFile, path="a.csv", event_time="at"), "null_values"),
        (partial(replace, order_lines), "unique"),
        (partial(Cancellation, when=pl.lit(1), becomes="retraction", match=()), "measures"),
        (partial(Cancellation, when=pl.lit(1), becomes="retraction", measures=()), "match"),
        (partial(replace, customers), "attributes"),
        (partial(Reference, dimension=customers), "columns"),
        (partial(replace, order_probability), "features"),
        (partial(replace, order_probability), "trusted_types"),
        (Drift, "expected"),
    ],
)
def test_one_text_is_not_a_tuple_of_its_letters(declare: Callable[..., Any], option: str) -> None:
    """A forgotten comma is refused wherever several names may stand."""
    with pytest.raises(DeclarationError, match=rf"as a tuple.*write {option}=\('x',\)"):
        declare(**{option: "x"})


def test_the_attributes_of_a_view_are_not_the_letters_of_one() -> None:
    """Which stand in a mapping, and are named by their dimension."""
    with pytest.raises(DeclarationError, match=r"write dimensions\[customer\]=\('x',\)"):
        replace(customer_orders, dimensions={customers: "x"})  # type: ignore[dict-item]  # the mistake


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_an_error_that_says_what_to_do(case: str) -> None:
    """Expected, found, and the remedy or the nearest valid name."""
    declare, remedy = CASES[case]
    with pytest.raises(DeclarationError) as caught:
        declare()
    assert remedy in str(caught.value)
    assert str(caught.value).startswith("expected ")
    assert "; found " in str(caught.value)


def test_declarations_take_nothing_unknown_and_do_not_change() -> None:
    """A misspelt argument is refused, and what was declared stays."""
    with pytest.raises(TypeError):
        count(windows=DAY)
    with pytest.raises(FrozenInstanceError):
        customer_orders.name = "x"  # type: ignore[misc]  # the mistake


def test_two_things_need_two_names() -> None:
    """One name for two observations is refused before anything is compiled."""
    other = replace(repurchase, description="Another.")
    with pytest.raises(DeclarationError, match="two named 'repurchase'"):
        catalog([repurchase, other])


def test_an_aggregation_is_described_by_its_column() -> None:
    """Without words of its own, it has those of the column, unless it chooses among rows."""
    bare = Aggregation(name="n", function="mean", column="quantity", window=90 * DAY)
    described = replace(customer_orders, aggregations=(*customer_orders.aggregations, bare))
    assert described.descriptions["n"] == (
        "Units; negative when cancelled. Mean of the last 90 days."
    )
    choosing = replace(bare, where=pl.col("quantity") > 0)
    with pytest.raises(DeclarationError, match="which rows it is about"):
        replace(customer_orders, aggregations=(*customer_orders.aggregations, choosing))


def test_a_fingerprint_is_of_the_meaning() -> None:
    """Descriptions and owners do not count; a window does."""
    same = replace(customer_orders, description="Other words.", owners=["team:y"])
    assert fingerprint(same) == fingerprint(customer_orders)
    other = (replace(customer_orders.aggregations[0], window=8 * DAY),)
    changed = replace(customer_orders, aggregations=other + customer_orders.aggregations[1:])
    assert fingerprint(changed) != fingerprint(customer_orders)


def test_a_fingerprint_sees_constants_wherever_they_stand() -> None:
    """In comprehensions and generator expressions too, and in what a partial is given."""

    def digest(body: str, words: str = "Words.") -> str:
        made: dict[str, Any] = {}
        exec(f"def f():\n    {words!r}\n    return {body}", made)  # noqa: S102  ours
        return fingerprint(made["f"])

    for body in ("[{'C': %s} for _ in range(3)]", "dict((n, %s) for n in 'ab')", "{%s}", "%s"):
        assert digest(body % "0.1") != digest(body % "0.9")
        assert digest(body % "0.1") == digest(body % "0.1", "Other words.")

    def build(penalty: float) -> float:
        return penalty

    assert fingerprint(partial(build, penalty=1.0)) == fingerprint(partial(build, penalty=1.0))
    assert fingerprint(partial(build, penalty=1.0)) != fingerprint(partial(build, penalty=2.0))
    with pytest.raises(DeclarationError, match=r"functools\.partial"):
        fingerprint(object())


def test_the_order_of_a_slates_limits_counts() -> None:
    """The first limit is kept first; elsewhere the order of a mapping means nothing."""
    one, other = ({"kind": 1, "price": 2}, {"price": 2, "kind": 1})
    slates = [Slate(size=3, per="customer_id", at_most=limits) for limits in (one, other)]
    assert fingerprint(slates[0]) != fingerprint(slates[1])
    assert fingerprint(one) == fingerprint(other)


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Neither Dagster nor MLflow, scikit-learn or deltalake; and all public names are there."""
    code = (
        "import sys, flywheel_assets;"
        "print([m for m in ('dagster', 'mlflow', 'sklearn', 'deltalake') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert flywheel_assets.__all__ == sorted(flywheel_assets.__all__)
    assert all(hasattr(flywheel_assets, name) for name in flywheel_assets.__all__)


def test_no_feature_may_be_called_what_a_training_row_says_beside_it() -> None:
    """The names that are kept are those of the decision's columns and of the label's."""
    assert (*DECISION_COLUMNS, LABEL, REWARD, WEIGHT) == DECISION_FIELDS


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    """The order of a set, which differs from process to process, does not count."""
    code = (
        "from flywheel_assets.declare.fingerprint import fingerprint\n"
        "def f(n): return n in {'alpha', 'beta', 'gamma', 'delta'}\n"
        "print(fingerprint(f, {'a', 'b', 'c'}))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in range(4)
    }
    assert len(told) == 1
