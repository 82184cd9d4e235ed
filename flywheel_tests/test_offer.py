"""The offer flywheel: a trial replayed, what was carried out, and what the real trial must show."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flywheel_assets.dagster_assets.turn import Turner, replay
from flywheel_assets.flywheels.offer import OFFERS, offer
from flywheel_assets.rehearsal import Rehearsal
from flywheel_assets.stages.clock import days
from flywheel_assets.stages.decisions import DECISION_COLUMNS
from flywheel_assets.stages.features import features
from flywheel_assets.stages.training_set import training_set
from flywheel_assets.stores.home import Home
from flywheel_assets.worlds.trial import Trial, TrialConfig, read_trial
from flywheel_benchmarks.offer import BAR, run, uniform_spend
from flywheel_tests.conftest import shared_data

START, DAY = date(2026, 1, 5), timedelta(days=1)
HILLSTROM = (
    "hillstrom/Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv"
)


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    """Read the real trial."""
    file = shared_data() / HILLSTROM
    if not file.exists():
        pytest.skip(f"the e-mail trial is not at {file}")
    return read_trial(file)


@pytest.fixture(scope="module")
def made() -> pl.DataFrame:
    """Make up a small trial, in which one offer is by far the best."""
    rng, n = np.random.default_rng(0), 1_200
    which = rng.integers(0, 3, n)
    visit = (rng.random(n) < np.array([0.5, 0.2, 0.1])[which]).astype(int)
    return pl.DataFrame(
        {
            "customer_id": np.arange(1, n + 1),
            "recency": rng.integers(1, 13, n),
            "history": rng.gamma(1.0, 200.0, n).round(2),
            "mens": rng.random(n) < 0.5,
            "womens": rng.random(n) < 0.5,
            "newbie": rng.random(n) < 0.5,
            "zip_code": np.array(["Rural", "Surburban", "Urban"])[rng.integers(0, 3, n)],
            "channel": np.array(["Multichannel", "Phone", "Web"])[rng.integers(0, 3, n)],
            "offer": np.array(OFFERS)[which],
            "visit": visit,
            "spend": visit * rng.gamma(1.0, 5.0, n).round(2),
        }
    )


def test_no_customer_of_the_trial_is_lost(real: pl.DataFrame) -> None:
    """Rows that look the same are different customers: each comes once, on one day."""
    assert real.height == real["customer_id"].n_unique() == 64_000
    assert real.drop("customer_id").is_duplicated().sum() >= 7_634
    trial = Trial(real, TrialConfig(start=START))
    told = [trial.day(day) for day in days(START, trial.last)]
    audience = pl.concat(day["audience"] for day in told)
    assert audience["customer_id"].sort().to_list() == list(range(1, 64_001))
    assert {day["audience"].height for day in told[:-1]} == {3_200}
    assert pl.concat(day["email"] for day in told).height == 64_000
    assert pl.concat(day["visit"] for day in told)["spend"].sum() == pytest.approx(
        real["spend"].sum()
    )


def test_a_shuffle_is_a_function_of_its_seed(made: pl.DataFrame) -> None:
    """The same seed tells the same days, another seed others."""
    one, same, other = (
        Trial(made, TrialConfig(start=START, batch=300, seed=seed)).day(START)["audience"]
        for seed in (1, 1, 2)
    )
    assert one.equals(same)
    assert not one.equals(other)


def decided(actions: Mapping[int, str]) -> pl.DataFrame:
    """Lay out decisions of the first day as they come back."""
    at = datetime(2026, 1, 6, tzinfo=UTC)
    rows = [
        {
            "decision_id": f"offer:{START}:{customer}",
            "flywheel": "offer",
            "entity_id": str(customer),
            "decided_at": at,
            "action": action,
            "score": 0.0,
            "rank": 1,
            "propensity": 0.25,
            "explored": False,
            "model_version": None,
            "candidate": f'{{"customer_id":{customer}}}',
        }
        for customer, action in actions.items()
    ]
    return pl.DataFrame(rows, schema={**DECISION_COLUMNS, "candidate": pl.String()})


def told(kind: str, rows: list[Mapping[str, object]]) -> pl.DataFrame:
    """Lay out rows of a fact, known when they happened."""
    fact = next(f for f in offer.facts if f.name == kind)
    full = [{"known_at": row["event_time"], **row} for row in rows]
    return pl.DataFrame(full, schema=fact.schema)


def test_only_what_was_carried_out_teaches() -> None:
    """Not: another action, no answer, a late one, one that was withdrawn, another decision's."""
    at = datetime(2026, 1, 6, 8, tzinfo=UTC)
    decisions = decided(dict.fromkeys(range(1, 7), "mens_email"))
    sent = [
        (1, "mens_email", at),
        (2, "womens_email", at),
        (4, "mens_email", at + DAY),
        (5, "mens_email", at),
    ]
    emails: list[Mapping[str, object]] = [
        {
            "observation_id": f"sent-{customer}",
            "event_time": when,
            "decision_id": f"offer:{START}:{customer}",
            "customer_id": customer,
            "action": action,
        }
        for customer, action, when in sent
    ]
    emails.append(
        {
            "observation_id": "taken back",
            "event_time": at + timedelta(hours=1),
            "retracts": "sent-5",
        }
    )
    emails.append(
        {
            "observation_id": "of the day before",
            "event_time": at,
            "decision_id": f"offer:{START - DAY}:6",
            "customer_id": 6,
            "action": "mens_email",
        }
    )
    visits = told(
        "visit",
        [
            {"observation_id": f"v{c}", "event_time": at, "customer_id": c, "spend": 1.0}
            for c in (1, 2, 3)
        ],
    )
    view = offer.views[0]
    nothing = features(pl.DataFrame(schema=view.fact.schema), {}, view, [START])
    rows = training_set(decisions, {view: nothing}, visits, offer, told("email", emails))
    assert rows.select("customer_id", "outcome", "weight").rows() == [(1, 1, 4.0)]


def test_the_dagster_loop_decides_what_the_rehearsal_does(
    made: pl.DataFrame, tmp_path: Path
) -> None:
    """Four batches from the trial's daily files, every stage: the same decisions, and it learns."""
    trial = Trial(made, TrialConfig(start=START, batch=300))
    folder = tmp_path / "trial"
    trial.write(folder)
    home = Home(tmp_path / "home")
    sources = {name: str(folder / name) for name in ("audience", "email", "visit")}
    home.extend(START, trial.last, sources, ongoing=False, demo=False)
    turner = Turner(home, [offer])
    turner.turn(list(replay(offer, START, trial.last)), lambda _: None)
    theirs = pl.read_delta(str(home.lakehouse / "offer" / "decisions"))
    rehearsal = Rehearsal(offer, trial)
    ours = pl.concat(rehearsal.turn(day) for day in days(START, trial.last))
    order = ["partition_date", "decision_id"]
    assert ours["model_version"].n_unique() > 1, "no model decided: the test is too short"
    assert_frame_equal(ours.sort(order), theirs.select(ours.columns).sort(order), check_exact=True)
    rows = pl.read_delta(str(home.lakehouse / "offer" / "training_set"))
    came = trial.replayed(ours)
    assert rows.height == came.height
    assert rows["outcome"].sum() == came["visit"].sum()
    last = ours.filter(pl.col("partition_date") == START + 3 * DAY)
    assert last.filter(action="mens_email").height > 0.9 * last.height
    assert last.filter(pl.col("propensity") > 0.9).height > 0.9 * last.height


def test_it_starts_evenly(made: pl.DataFrame) -> None:
    """Without a model each offer is drawn with a probability of a third."""
    trial = Trial(made, TrialConfig(start=START, batch=1_200))
    first = Rehearsal(offer, trial).turn(START)
    assert first["propensity"].unique().to_list() == pytest.approx([1 / 3])
    shares = first["action"].value_counts(normalize=True)["proportion"].to_list()
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)


def test_the_real_trial_replayed(real: pl.DataFrame) -> None:
    """Two of the 20 shuffles of ``flywheel_benchmarks.offer``."""
    found = [run(real, seed) for seed in range(2)]
    assert np.mean([one.visit_rate for one in found]) >= BAR
    even, half = uniform_spend(real)
    assert np.mean([one.spend for one in found]) >= even - half
    assert all(one.covered for one in found)
    uniform = np.mean([one.batches["visit"][0] for one in found])
    assert uniform < 0.17, "the start was not even"
