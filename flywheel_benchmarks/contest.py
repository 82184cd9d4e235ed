"""Running contestants in processes of their own, in turn, and printing medians and ratios."""

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """Medians: seconds of wall time and of processor time, and the peak in GiB."""

    seconds: float
    processor: float
    peak: float


def contest(module: str, commands: Mapping[str, Sequence[str]], runs: int) -> dict[str, Figure]:
    """Run each command so many times, in turn, and give each one's medians.

    Parameters
    ----------
    module : str
        What ``python -m`` runs; it prints what `timed` gives as its last line.
    """
    found: dict[str, list[Figure]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            done = subprocess.run(  # noqa: S603  our own module
                [sys.executable, "-m", module, *command],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[name].append(Figure(**json.loads(done.stdout.splitlines()[-1])))
    return {
        name: Figure(
            seconds=statistics.median(f.seconds for f in figures),
            processor=statistics.median(f.processor for f in figures),
            peak=max(f.peak for f in figures),
        )
        for name, figures in found.items()
    }


def timed(run: Callable[[], object]) -> str:
    """Time a call, and say what it took as a line for `contest`."""
    import time

    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    run()
    took, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak = after.ru_maxrss / 2**20
    return json.dumps({"seconds": took, "processor": processor, "peak": peak})


def show(title: str, figures: Mapping[str, Figure], against: str) -> None:
    """Print a table of ratios against one of the contestants."""
    table = Table("contestant", "wall s", "CPU s", "peak GiB", f"wall / {against}", title=title)
    base = figures[against]
    for name, f in figures.items():
        ratio = f"{f.seconds / base.seconds:.2f}"
        table.add_row(name, f"{f.seconds:.2f}", f"{f.processor:.2f}", f"{f.peak:.2f}", ratio)
    Console(width=110).print(table)


def plot(title: str, figures: Mapping[str, Figure], file: Path) -> None:
    """Draw the seconds as bars, on a logarithmic scale."""
    import altair as alt

    rows = pl.DataFrame({"contestant": list(figures)}).with_columns(
        seconds=pl.Series([f.seconds for f in figures.values()])
    )
    bars = alt.Chart(rows, title=title).mark_bar()
    chart = bars.encode(
        x=alt.X("seconds:Q", scale=alt.Scale(type="log")),
        y=alt.Y("contestant:N", sort=None),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    chart.save(str(file))
