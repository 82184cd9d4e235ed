"""The figures and the plot of the flywheel effect, from what each policy earned each day."""

from typing import Any

import polars as pl

SPAN = 14  # days: "at day 40" is the mean of days 27 to 40
WEEK = 7
RECOVERY = 21  # days
BARS = (40, 90)
BAR = 0.85
COLOURS = {
    "oracle": "#7d8590",
    "all but noise": "#a371f7",
    "ideal observer": "#d29922",
    "flywheel": "#2f81f7",
    "no exploration": "#3fb950",
    "frozen": "#f0883e",
    "bootstrap": "#db61a2",
}
"""Each legible on white and on black."""
INK = "#7d8590"
_EXPLAINED = (
    "Reward is what contacts are expected to add, in pounds, by the shop's own hidden numbers: "
    f"noise in who happens to order is left out. A day's is the mean of the {SPAN} days that end "
    "with it. Shares are of the oracle's reward above the bootstrap rule's: mean over worlds, "
    "lowest and highest. `all but noise` knows each customer's true rate, spending and fatigue "
    "and lacks only what is peculiar to the customer's response, which no feature tells. The "
    "`ideal observer` knows the shop's laws and all of that but the rate, and whether the customer "
    "has left: these it infers from all orders, exactly (`worlds/shop_observer.py`). Who learns "
    "from orders and contacts cannot know more."
)


def mean_of(frame: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    """Give each policy's mean daily reward in each world, from a day to another, counted from 1.

    Returns
    -------
    DataFrame
        ``seed``, and a column for each policy.
    """
    days = frame.filter(pl.col("day").is_between(first - 1, last - 1))
    return days.pivot("policy", index="seed", values="expected", aggregate_function="mean")


def shares(means: pl.DataFrame, policy: str, ceiling: str = "oracle") -> pl.Series:
    """Give what part of the ceiling's daily reward above the bootstrap's a policy earned."""
    above = (pl.col(policy) - pl.col("bootstrap")) / (pl.col(ceiling) - pl.col("bootstrap"))
    return means.select(above.alias("share")).to_series()


def recovered(frame: pl.DataFrame, shock: int) -> pl.DataFrame:
    """Say in each world how many days after the shock the flywheel is back where it was.

    Back is the first day on which the trailing week, wholly after the shock, has at least the share
    of the oracle's reward above the bootstrap's that the two weeks before the shock had.

    Returns
    -------
    DataFrame
        ``seed``, null for the mean of all worlds' shares, and ``days``, null where that never
        comes.
    """
    last = int(frame["day"].max()) + 1  # type: ignore[arg-type]  # a number
    spans = [(shock - SPAN + 1, shock)]
    spans += [(end - WEEK + 1, end) for end in range(shock + WEEK, last + 1)]
    found = pl.concat(
        means.select("seed", shares(means, "flywheel"), pl.lit(span[1] - shock).alias("days"))
        for span in spans
        for means in [mean_of(frame, *span)]
    )
    on_mean = found.group_by("days").agg(pl.lit(None).alias("seed"), pl.col("share").mean())
    every = pl.concat([found, on_mean.select(pl.col("seed").cast(pl.Int64), "share", "days")])
    level = pl.col("share").filter(days=0).first()
    back = pl.col("days").filter(pl.col("days") > 0, pl.col("share") >= level).min()
    return every.group_by("seed", maintain_order=True).agg(back)


def comparable(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the worlds in which all that the bars compare has been run."""
    needed = set(COLOURS) - {"no exploration"}
    ran = frame.group_by("seed").agg(pl.col("policy").unique())
    whole = [seed for seed, policies in ran.iter_rows() if needed <= set(policies)]
    return frame.filter(pl.col("seed").is_in(whole))


def markdown(frame: pl.DataFrame, shock: int, n_customers: int, capacity: int) -> str:
    """Write the figures as a page."""
    last = int(frame["day"].max()) + 1  # type: ignore[arg-type]  # a number
    n_seeds = frame["seed"].n_unique()
    total = mean_of(frame, 1, last)
    ends = [end for end in (*BARS,) if end <= last] or [last]
    at = {end: mean_of(frame, end - SPAN + 1, end) for end in ends}
    head = "".join(f" day {end}, pounds a day | of the oracle's |" for end in ends)
    lines = [
        "# The flywheel effect",
        "",
        f"{n_seeds} worlds, {last} days, a shock on day {shock}; written by `make effect`.",
        "",
        f"The shop has {n_customers:,} customers, and writes to {capacity:,} a day.",
        "",
        _EXPLAINED,
        "",
        f"| policy | {last} days, pounds |{head}",
        "|---|---|" + "---|---|" * len(ends),
    ]
    for policy in _ran(frame):
        worlds = total[policy].count()
        name = policy if worlds == n_seeds else f"{policy} ({worlds} worlds only)"
        cells = [name, f"{_mean(total[policy]) * last:,.0f}"]
        for means in at.values():
            share = shares(means, policy).drop_nulls()
            cells += [f"{_mean(means[policy]):,.0f}"]
            cells += [f"{_mean(share):.2f} ({min(share):.2f} to {max(share):.2f})"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_bars(frame, at, shock, last), ""])


def _ran(frame: pl.DataFrame) -> list[str]:
    """Name the policies that were run, in the order of the legend."""
    return [policy for policy in COLOURS if policy in frame["policy"].unique()]


def _mean(values: pl.Series) -> float:
    return float(values.drop_nulls().to_numpy().mean())


def _bars(frame: pl.DataFrame, at: dict[int, pl.DataFrame], shock: int, last: int) -> list[str]:
    """Hold the figures against the bars."""
    lines = ["| bar | found |", "|---|---|"]
    for end, means in at.items():
        of_oracle, of_known = (
            _mean(shares(means, "flywheel", ceiling)) for ceiling in ("oracle", "ideal observer")
        )
        lines.append(
            f"| day {end}: {BAR:.0%} of the oracle's daily reward above the bootstrap's | "
            f"{of_oracle:.0%}; {of_known:.0%} of what the ideal observer has |"
        )
    if last > shock:
        after = mean_of(frame, shock + 1, last)
        ahead = int((after["flywheel"] > after["frozen"]).sum())
        back = recovered(frame, shock)
        worlds = back.drop_nulls("seed")["days"]
        in_time = int((worlds <= RECOVERY).sum())
        late = ", ".join(str(d) for d in worlds.sort(nulls_last=True).to_list())
        together = back.filter(pl.col("seed").is_null())["days"].item()
        frozen = "after the shock, ahead of the frozen model in nine worlds of ten"
        level = f"back within {RECOVERY} days at the share before the shock"
        lines.append(f"| {frozen} | {ahead} of {after.height} |")
        lines.append(
            f"| {level} | on the mean after {together}; {in_time} of {after.height} worlds, "
            f"after {late} |"
        )
    return lines


def plot(frame: pl.DataFrame, shock: int) -> str:
    """Draw daily and cumulative reward, means over worlds, as SVG for light and dark pages."""
    import altair as alt
    import vl_convert as vlc

    mean = frame.group_by("policy", "day").agg(pl.col("expected").mean()).sort("policy", "day")
    lines = mean.with_columns(
        (pl.col("day") + 1).alias("day"),
        pl.col("expected").rolling_mean(WEEK, min_samples=1).over("policy").alias("daily"),
        (pl.col("expected").cum_sum().over("policy") / 1_000).alias("cumulative"),
    ).filter(pl.col("policy").is_in(list(COLOURS)))
    base = alt.Chart(lines)
    colour = alt.Color(
        "policy:N",
        scale=alt.Scale(domain=(ran := _ran(frame)), range=[COLOURS[policy] for policy in ran]),
        legend=alt.Legend(title=None, orient="bottom", columns=6),
    )
    width = alt.condition(alt.datum.policy == "flywheel", alt.value(3), alt.value(1.5))
    rule = (
        alt.Chart(pl.DataFrame({"day": [shock]}))
        .mark_rule(color=INK, strokeDash=[4, 4])
        .encode(x="day:Q")
    )

    def panel(column: str, title: str) -> Any:
        drawn = base.mark_line().encode(
            x=alt.X("day:Q", title=f"day (shock on {shock})"),
            y=alt.Y(f"{column}:Q", title=title),
            color=colour,
            strokeWidth=width,
        )
        return (drawn + rule).properties(width=360, height=240)

    chart = (
        (
            panel("daily", "pounds a day, mean of a week")
            | panel("cumulative", "thousand pounds in all")
        )
        .configure(background="transparent")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=INK, gridColor=INK, gridOpacity=0.2, domainColor=INK
        )
        .configure_legend(labelColor=INK)
    )
    return str(vlc.vegalite_to_svg(chart.to_dict()))
