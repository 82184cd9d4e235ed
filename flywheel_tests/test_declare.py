"""A wrong declaration is refused where it is written, in words that say how to mend it."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

import flywheel_assets
from flywheel_assets import (
    Aggregation,
    Cancellation,
    DailyFiles,
    DeclarationError,
    DeltaSource,
    Dimension,
    Entity,
    Expression,
    Fact,
    FeatureView,
    Field,
    Flywheel,
    Gate,
    Model,
    Observation,
    Outcome,
    Policy,
    TableFile,
)
from flywheel_assets.declare.fingerprint import fingerprint
from flywheel_assets.declare.flywheel import catalog

DAY = timedelta(days=1)
WORDS: dict[str, Any] = {"owners": ["team:test"], "description": "For a test."}


def entity(**changes: Any) -> Entity:
    """Declare a sound entity, but for the changes."""
    return Entity(**{"name": "customer", "keys": ("customer_id",), **WORDS, **changes})


def number(**changes: Any) -> Field:
    """Declare a sound field, but for the changes."""
    return Field(**{"name": "price", "dtype": pl.Float64, "description": "Pounds.", **changes})


def key() -> Field:
    """Declare the key's field."""
    return Field(name="customer_id", dtype=pl.Int64, description="Who.")


def source(**changes: Any) -> DailyFiles:
    """Declare a sound source, but for the changes."""
    return DailyFiles(**{"path": "orders", "event_time": "at", **changes})


def observation(**changes: Any) -> Observation:
    """Declare a sound observation, but for the changes."""
    sound = {"name": "order", "entity": entity(), "fields": (key(), number()), "source": source()}
    return Observation(**{**sound, **WORDS, **changes})


def fact(**changes: Any) -> Fact:
    """Declare a sound fact, but for the changes."""
    return Fact(**{"name": "order", "observation": observation(), **WORDS, **changes})


def cancelled(**changes: Any) -> Fact:
    """Declare a fact with retractions, sound but for the changes of the rule."""
    rule: dict[str, Any] = {
        "when": pl.col("price") < 0,
        "becomes": "retraction",
        "measures": ("price",),
        "match": ("customer_id",),
    }
    return fact(cancellation=Cancellation(**{**rule, **changes}))


def dimension(**changes: Any) -> Dimension:
    """Declare a sound dimension, but for the changes."""
    sound = {"name": "customer", "entity": entity(), "observation": observation()}
    return Dimension(**{**sound, "attributes": ("price",), **WORDS, **changes})


def spent(**changes: Any) -> Aggregation:
    """Declare a sound aggregation, but for the changes."""
    sound = {"name": "spent", "function": "sum", "column": "price", "window": 7 * DAY}
    return Aggregation(**{**sound, "description": "Spent.", **changes})


def double(**changes: Any) -> Expression:
    """Declare a sound expression, but for the changes."""
    sound = {"name": "double", "expression": pl.col("spent") * 2, "description": "Twice."}
    return Expression(**{**sound, **changes})


def view(**changes: Any) -> FeatureView:
    """Declare a sound feature view, but for the changes."""
    sound = {"name": "orders", "entity": entity(), "fact": fact(), "aggregations": (spent(),)}
    return FeatureView(**{**sound, "expressions": (double(),), **WORDS, **changes})


def outcome(**changes: Any) -> Outcome:
    """Declare a sound outcome, but for the changes."""
    return Outcome(**{"fact": fact(), "horizon": 7 * DAY, **WORDS, **changes})


def model(**changes: Any) -> Model:
    """Declare a sound model, but for the changes."""
    sound = {"name": "scores", "estimator": object, "features": ("spent",)}
    return Model(**{**sound, "training_window": 30 * DAY, **WORDS, **changes})


def policy(**changes: Any) -> Policy:
    """Declare a sound policy, but for the changes."""
    sound = {"candidates": pl.col("spent") > 0, "bootstrap": pl.col("spent"), "capacity": 10}
    return Policy(**{**sound, "action": "contact", **WORDS, **changes})


def wheel(**changes: Any) -> Flywheel:
    """Declare a sound flywheel, but for the changes."""
    sound = {"name": "wheel", "features": view(), "training_set": outcome(), "model": model()}
    return Flywheel(**{**sound, "decisions": policy(), **WORDS, **changes})


Build = Callable[[], object]
PRICE, SPENT = "did you mean 'price'?", "did you mean 'spent'?"
RENAME, LOWER = "rename it, for example 'order_line'", "lower-case letters, digits and underscores"
OWNER = "add owners=['team:name'] or an email address"

# What is declared; what the message says is expected, was found, and would mend it.
WRONG: dict[str, tuple[Build, str, str, str]] = {
    # columns that are not there
    "column of a window": (
        lambda: view(aggregations=(spent(column="prise"),)),
        "aggregation 'spent' of feature view 'orders' to use columns that exist",
        "'prise'",
        PRICE,
    ),
    "column of a window's where": (
        lambda: view(aggregations=(spent(where=pl.col("prise") > 0),)),
        "aggregation 'spent' of feature view 'orders'",
        "'prise'",
        PRICE,
    ),
    "column of an expression": (
        lambda: view(expressions=(double(expression=pl.col("spend") * 2),)),
        "'double' of feature view 'orders'",
        "'spend'",
        SPENT,
    ),
    "expression before what it uses": (
        lambda: view(expressions=(double(expression=pl.col("later")), double(name="later"))),
        "'double' of feature view 'orders'",
        "'later'",
        "valid: as_of, customer_id, spent",
    ),
    "column of an outcome": (
        lambda: outcome(where=pl.col("prise") > 0),
        "the outcome to use columns that exist",
        "'prise'",
        PRICE,
    ),
    "column of a reward": (
        lambda: outcome(reward=pl.col("prise")),
        "the outcome to use columns that exist",
        "'prise'",
        PRICE,
    ),
    "feature of a model": (
        lambda: wheel(model=model(features=("spent", "doubel"))),
        "model 'scores' of flywheel 'wheel'",
        "'doubel'",
        "did you mean 'double'?",
    ),
    "candidates of a policy": (
        lambda: wheel(decisions=policy(candidates=pl.col("spend") > 0)),
        "the candidates of the policy",
        "'spend'",
        SPENT,
    ),
    "bootstrap rule of a policy": (
        lambda: wheel(decisions=policy(bootstrap=pl.col("spend"))),
        "the bootstrap rule of the policy",
        "'spend'",
        SPENT,
    ),
    "baseline of a policy": (
        lambda: wheel(decisions=policy(baselines={"best": pl.col("spend")})),
        "baseline 'best' of the policy",
        "'spend'",
        SPENT,
    ),
    "derived column": (
        lambda: fact(derive={"pence": pl.col("prise") * 100}),
        "derived column 'pence' of fact 'order'",
        "'prise'",
        PRICE,
    ),
    "attribute of a dimension": (
        lambda: dimension(attributes=("prise",)),
        "attributes of dimension 'customer'",
        "'prise'",
        PRICE,
    ),
    "attribute of a view": (
        lambda: view(dimensions={dimension(): ("prise",)}),
        "attributes of feature view 'orders'",
        "'prise'",
        PRICE,
    ),
    "id field": (
        lambda: observation(id_fields=("prise",)),
        "id_fields of observation 'order'",
        "'prise'",
        PRICE,
    ),
    "renamed column": (
        lambda: observation(source=source(columns={"prise": "Price"})),
        "the source of observation 'order'",
        "'prise'",
        PRICE,
    ),
    "key that is no field": (
        lambda: observation(fields=(number(),)),
        "observation 'order' to use columns that exist",
        "'customer_id'",
        "valid: price",
    ),
    "outcome of other entities": (
        lambda: wheel(
            training_set=outcome(
                fact=fact(observation=observation(entity=entity(keys=("price",)), fields=(number(),)))
            )
        ),
        "the outcome of flywheel 'wheel'",
        "'customer_id'",
        "valid: ",
    ),
    "what is no expression": (
        lambda: outcome(where="price > 0"),
        "the outcome as a Polars expression",
        "'price > 0'",
        "write it with pl.col(...)",
    ),
    # owners
    "no owner": (lambda: fact(owners=[]), "a list of one owner or more", "[]", OWNER),
    "an owner that is no list": (
        lambda: policy(owners="team:test"),
        "the policy with a list of one owner or more",
        "'team:test'",
        OWNER,
    ),
    "an owner that is nobody": (
        lambda: view(owners=["growth"]),
        "an owner of feature view 'orders' written 'team:name' or as an email address",
        "'growth'",
        "for example 'team:growth'",
    ),
    # names
    "an upper-case name": (lambda: entity(name="Customer"), LOWER, "'Customer'", RENAME),
    "a slashed name": (lambda: fact(name="shop/order"), LOWER, "'shop/order'", RENAME),
    "an empty name": (lambda: number(name=""), LOWER, "''", RENAME),
    "a long name": (lambda: view(name="v" * 64), LOWER, "'vvv", RENAME),
    "a spaced action": (lambda: policy(action="write to"), LOWER, "'write to'", RENAME),
    "a stage's name": (
        lambda: wheel(name="collect"),
        "a flywheel with a name of its own",
        "'collect'",
        "rename the flywheel",
    ),
    "a reserved column": (
        lambda: number(name="known_at"),
        "a field with a name of its own",
        "'known_at'",
        "rename the field",
    ),
    "a reserved derived column": (
        lambda: fact(derive={"event_time": pl.col("price")}),
        "a derived column of fact 'order' with a name of its own",
        "'event_time'",
        "rename it",
    ),
    "a field twice": (
        lambda: observation(fields=(key(), number(), number())),
        "fields of observation 'order' with names of their own",
        "'price' twice",
        "rename one of them",
    ),
    "a feature twice": (
        lambda: view(expressions=(double(name="spent"),)),
        "columns of feature view 'orders' with names of their own",
        "'spent' twice",
        "rename one of them",
    ),
    "two facts of one name": (
        lambda: catalog([wheel()]),
        "each Fact with a name of its own",
        "two named 'order'",
        "declare it once and import it, or rename one",
    ),
    # durations
    "a window of hours": (
        lambda: spent(window=timedelta(hours=36)),
        "the window of aggregation 'spent' in whole days",
        "1 day, 12:00:00",
        "round it to days",
    ),
    "a window of nothing": (
        lambda: spent(window=timedelta(0)),
        "the window of aggregation 'spent' as a timedelta above zero",
        "datetime.timedelta(0)",
        "timedelta(days=30)",
    ),
    "a window in numbers": (
        lambda: spent(window=30),
        "as a timedelta above zero",
        "30",
        "timedelta(days=30)",
    ),
    "a horizon of hours": (
        lambda: outcome(horizon=timedelta(hours=1)),
        "the horizon of the outcome in whole days",
        "1:00:00",
        "round it to days",
    ),
    "a holdout of everything": (
        lambda: model(gate=Gate(holdout=30 * DAY)),
        "model 'scores' with matured days left to train on",
        "a holdout of 30 days",
        "lengthen training_window",
    ),
    "a window without a time": (
        lambda: view(fact=fact(observation=observation(source=source(event_time=None)))),
        "over a fact whose rows have a time",
        "fact 'order', whose source declares no event_time",
        "add event_time='...' to the source, or leave the window out",
    ),
    # choices
    "an unknown function": (
        lambda: spent(function="summ"),
        "aggregation 'spent' to use a known function",
        "'summ'",
        "did you mean 'sum'?",
    ),
    "a function of no column": (
        lambda: spent(column=None),
        "aggregation 'spent' to say which column",
        "none",
        "add column='...' for sum",
    ),
    "an unknown metric": (
        lambda: model(metric="roc"),
        "model 'scores' to use a known metric",
        "'roc'",
        "did you mean 'roc_auc'?",
    ),
    "an unknown weekday": (
        lambda: model(retrain="munday"),
        "model 'scores' to retrain daily or on a weekday",
        "'munday'",
        "did you mean 'monday'?",
    ),
    "an unknown kind of cancellation": (
        lambda: cancelled(becomes="retract"),
        "how fact 'order' treats cancellations",
        "'retract'",
        "did you mean 'retraction'?",
    ),
    "a retraction of anything": (
        lambda: cancelled(match=()),
        "fact 'order' to say which row a retraction withdraws",
        "no match",
        "add match=(...)",
    ),
    "an estimator that is none": (
        lambda: model(estimator="LogisticRegression"),
        "model 'scores' with a function that builds its estimator",
        "'LogisticRegression'",
        "wrap it",
    ),
    "a type that no table holds": (
        lambda: number(dtype=pl.Duration),
        "field 'price' of a type that every table can hold",
        "Duration",
        "use one of Int64",
    ),
    "keys that are no tuple": (
        lambda: entity(keys="customer_id"),
        "entity 'customer' with a tuple of key columns",
        "'customer_id'",
        "write keys=('customer_id',)",
    ),
    "a view of nothing": (
        lambda: view(aggregations=()),
        "feature view 'orders' with one aggregation or more",
        "none",
        "add an Aggregation",
    ),
    # policies
    "capacity and threshold": (
        lambda: policy(threshold=0.5),
        "a policy with either a capacity or a threshold",
        "capacity=10, threshold=0.5",
        "give one of the two",
    ),
    "neither capacity nor threshold": (
        lambda: policy(capacity=None),
        "a policy with either a capacity or a threshold",
        "capacity=None, threshold=None",
        "give one of the two",
    ),
    "a capacity of nothing": (
        lambda: policy(capacity=0),
        "a capacity of one or more",
        "0",
        "give how many",
    ),
    "twice as much exploration": (
        lambda: policy(exploration=2),
        "exploration as a share from 0 to 1",
        "2",
        "write 0.1 for 10%",
    ),
    # sources
    "a wrong time zone": (
        lambda: source(time_zone="Europe/Londn"),
        "a time zone of the IANA database",
        "'Europe/Londn'",
        "write for example 'Europe/London'",
    ),
    "a delay with known_at": (
        lambda: source(known_at="seen", delay=DAY),
        "a delay of zero or more, or a known_at column, not both",
        "known_at='seen'",
        "leave one of the two out",
    ),
    "a delay below zero": (
        lambda: source(delay=-DAY),
        "a delay of zero or more",
        "-1 day",
        "leave one of the two out",
    ),
    "a pattern without a day": (
        lambda: source(pattern="orders.csv"),
        "a file name with {day} in it",
        "'orders.csv'",
        "write for example '{day}.csv'",
    ),
    "a pattern of another format": (
        lambda: source(pattern="{day}.json"),
        "that ends in .csv or .parquet",
        "'{day}.json'",
        "write for example '{day}.csv'",
    ),
    "a file that nothing dates": (
        lambda: TableFile(path="orders.csv"),
        "a table source with a column that says when",
        "neither event_time nor known_at",
        "add event_time='...'",
    ),
    "a table that nothing dates": (
        lambda: DeltaSource(path="orders"),
        "a table source with a column that says when",
        "neither event_time nor known_at",
        "add event_time='...'",
    ),
}


@pytest.mark.parametrize(("build", "expected", "found", "remedy"), WRONG.values(), ids=WRONG)
def test_a_wrong_declaration_says_how_to_mend_it(
    build: Build, expected: str, found: str, remedy: str
) -> None:
    """It is refused at construction, and the message says expected, found and remedy."""
    with pytest.raises(DeclarationError) as caught:
        build()
    error = caught.value
    assert expected in error.expected
    assert found in error.found
    assert remedy in error.remedy
    assert str(error) == f"expected {error.expected}; found {error.found}; {error.remedy}"


SOUND: dict[str, Build] = {
    "Aggregation": spent,
    "Cancellation": lambda: cancelled().cancellation,
    "DailyFiles": source,
    "DeltaSource": lambda: DeltaSource(path="orders", event_time="at"),
    "Dimension": dimension,
    "Entity": entity,
    "Expression": double,
    "Fact": fact,
    "FeatureView": view,
    "Field": number,
    "Flywheel": wheel,
    "Gate": Gate,
    "Model": model,
    "Observation": observation,
    "Outcome": outcome,
    "Policy": policy,
    "TableFile": lambda: TableFile(path="orders.csv", event_time="at"),
}


def test_the_table_of_declarations_is_complete() -> None:
    """Every public declaration is among those that the tests below go through."""
    public = {name for name in flywheel_assets.__all__ if not name.endswith("Error")}
    assert public == set(SOUND)


@pytest.mark.parametrize("name", SOUND)
def test_a_typing_error_in_a_keyword_does_not_pass(name: str) -> None:
    """An unknown keyword is a TypeError, for every declaration, before anything else is looked at."""
    with pytest.raises(TypeError, match="ownerz"):
        getattr(flywheel_assets, name)(ownerz=["team:test"])


@pytest.mark.parametrize("name", SOUND)
def test_declarations_are_frozen(name: str) -> None:
    """No attribute of any declaration can be set after construction."""
    declared: Any = SOUND[name]()
    assert type(declared).__name__ == name
    for field in dataclasses.fields(declared):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(declared, field.name, None)


@pytest.mark.parametrize(
    "mapping",
    [source().columns, fact().derive, view().dimensions, policy().baselines],
    ids=["columns", "derive", "dimensions", "baselines"],
)
def test_mappings_of_declarations_are_frozen(mapping: Any) -> None:
    """What a declaration holds by name cannot be added to either."""
    with pytest.raises(TypeError):
        mapping["new"] = None


def test_the_mapping_given_is_copied() -> None:
    """Changing the dict that a declaration was given does not change the declaration."""
    columns = {"price": "Price"}
    declared = source(columns=columns)
    columns["price"] = "Cost"
    assert declared.source_column("price") == "Price"


def test_public_names_are_there_and_sorted() -> None:
    """Each name of `__all__` can be imported, once, in the order of the alphabet."""
    names = flywheel_assets.__all__
    assert names == sorted(set(names))
    assert all(getattr(flywheel_assets, name).__name__ == name for name in names)


def test_importing_the_package_is_light() -> None:
    """A fresh interpreter that imports the package, and a flywheel, loads no heavy library."""
    script = (
        "import sys, flywheel_assets, flywheel_assets.flywheels\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "flywheel_assets" in loaded
    assert not loaded & {"dagster", "mlflow", "sklearn", "deltalake"}


def shared(name: str = "wheel", **changes: Any) -> Flywheel:
    """Declare a flywheel whose outcome is about the fact of its features."""
    features = view(**changes)
    return wheel(name=name, features=features, training_set=outcome(fact=features.fact))


def test_the_catalog_has_each_thing_once() -> None:
    """What two flywheels share is found once, in the order in which it was met."""
    one = shared(dimensions={(told := dimension(name="told")): ("price",)}, fact=(ordered := fact()))
    other = wheel(name="other", features=one.features, training_set=one.training_set)
    with pytest.raises(DeclarationError, match="each Observation with a name of its own"):
        catalog([one])
    same = dimension(name="told", observation=ordered.observation)
    one = shared(dimensions={same: ("price",)}, fact=ordered)
    other = wheel(name="other", features=one.features, training_set=one.training_set)
    found = catalog([one, other])
    assert told is not same
    assert found.observations == (ordered.observation,)
    assert found.facts == (ordered,)
    assert found.dimensions == (same,)
    assert found.views == (one.features,)
    assert found.flywheels == (one, other)


@pytest.mark.parametrize(
    ("pair", "kind"),
    [
        (lambda: (shared(fact=(same := fact())), shared("other", fact=same)), "FeatureView"),
        (lambda: (shared(), shared("other", name="others")), "Fact"),
        (
            lambda: (shared(), shared("other", name="others", fact=fact(name="orders"))),
            "Observation",
        ),
    ],
    ids=["view", "fact", "observation"],
)
def test_the_catalog_refuses_two_things_of_one_name(
    pair: Callable[[], tuple[Flywheel, Flywheel]], kind: str
) -> None:
    """Even when they look the same, since nothing says that they stay so."""
    with pytest.raises(DeclarationError, match=f"each {kind} with a name of its own"):
        catalog(pair())


def test_the_catalog_refuses_two_flywheels_of_one_name() -> None:
    """Flywheels are told apart by name too."""
    one = shared()
    other = wheel(features=one.features, training_set=one.training_set)
    with pytest.raises(DeclarationError, match="each Flywheel with a name of its own"):
        catalog([one, other])


def test_the_fingerprint_ignores_words() -> None:
    """Descriptions and owners, at any depth, are not what a declaration means."""
    other = view(
        owners=["someone@example.com"],
        description="Else.",
        entity=entity(description="Else.", owners=["team:else"]),
        aggregations=(spent(description="Else."),),
        fact=fact(description="Else.", observation=observation(owners=["team:else"])),
    )
    assert fingerprint(view()) == fingerprint(other)


@pytest.mark.parametrize(
    "other",
    [
        view(aggregations=(spent(window=8 * DAY),)),
        view(aggregations=(spent(window=None),)),
        view(aggregations=(spent(function="mean"),)),
        view(aggregations=(spent(where=pl.col("price") > 0),)),
        view(expressions=(double(expression=pl.col("spent") * 3),)),
        view(fact=fact(derive={"pence": pl.col("price") * 100})),
        view(fact=fact(observation=observation(source=source(time_zone="Europe/London")))),
        view(fact=fact(observation=observation(fields=(key(), number(minimum=0))))),
        view(dimensions={dimension(): ("price",)}),
    ],
    ids=["window", "no window", "function", "where", "expression", "derive", "zone", "min", "dim"],
)
def test_the_fingerprint_reacts_to_meaning(other: FeatureView) -> None:
    """A changed window, function, expression, column, source or contract is another meaning."""
    assert fingerprint(view()) != fingerprint(other)


def test_the_fingerprint_reacts_to_the_estimators_code() -> None:
    """A changed number in the function that builds the estimator counts; its docstring does not."""

    def first() -> float:
        """Say something."""
        return 0.1

    def same() -> float:
        """Say something else."""
        return 0.1

    def other() -> float:
        """Say something."""
        return 0.2

    assert fingerprint(model(estimator=first)) == fingerprint(model(estimator=same))
    assert fingerprint(model(estimator=first)) != fingerprint(model(estimator=other))
