"""Recall@10 of recommendations on the real orders, decided on four dates of 2011.

Each date is decided by a model trained on the decisions of one month or two before, of which every
third customer's are learnt from. Beside it: the most popular of the last 30 days, and what is
nearest to what the customer has. Run with ``python -m flywheel_benchmarks.recommendation``.
"""

import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from flywheel_assets.flywheels.recommendation import recommendation
from flywheel_assets.flywheels.repurchase import order_lines
from flywheel_assets.stages.candidates import candidates
from flywheel_assets.stages.model import scorer, train
from flywheel_assets.stages.policy import decide
from flywheel_tests.retail import DAY, FIRST, bought_next, most_popular, orders, recall
from flywheel_tests.staged import matured, of_day, organized, snapshots

DATES = {
    date(2011, 7, 1): (date(2011, 5, 1), date(2011, 6, 1)),
    date(2011, 9, 1): (date(2011, 7, 1), date(2011, 8, 1)),
    date(2011, 10, 1): (date(2011, 8, 1), date(2011, 9, 1)),
    date(2011, 11, 1): (date(2011, 9, 1), date(2011, 10, 1)),
}
"""When is decided -> on what was decided when the model was trained."""
best = replace(recommendation, decisions=replace(recommendation.policy, exploration=None))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        facts = organized(best, {"order_line": orders(Path(folder))}, FIRST, date(2011, 12, 9))
    lines = facts[order_lines]
    found: list[dict[str, object]] = []
    for at, trained_on in DATES.items():
        day, before = at - DAY, [earlier - DAY for earlier in trained_on]
        views = snapshots(best, facts, [*before, day])
        rows = matured(best, facts, views, before)
        model = scorer(train(rows.filter(pl.col("customer_id") % 3 == 0), best), best)
        del rows
        seen = candidates(of_day(views, day), best, facts)
        wanted = bought_next(lines, day)
        shown = {
            "flywheel": decide(seen, model(seen), best, day, 1).filter(action="show"),
            "co-occurrence": decide(seen, None, best, day, None).filter(action="show"),
            "popular": most_popular(lines, day, wanted),
        }
        for name, pairs in shown.items():
            each = recall(pairs, wanted)
            found.append({"at": at, "ranking": name, "n": each.len(), "recall": each.mean()})
            print(found[-1], flush=True)
    table = pl.DataFrame(found)
    weighted = (pl.col("recall") * pl.col("n")).sum() / pl.col("n").sum()
    pooled = table.group_by("ranking", maintain_order=True).agg(weighted)
    popular = pooled.filter(ranking="popular")["recall"].item()
    print(pooled.with_columns(against_popular=pl.col("recall") / popular))


if __name__ == "__main__":
    main()
