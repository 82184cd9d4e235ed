"""As-of look-ups beside DuckDB and Feast: ``python -m flywheel_benchmarks.as_of``.

Every label looks up its entity's newest row in every source. Contestants read the same Parquet
files, each in a process of its own, in turn, so that a noisy minute falls on all of them; the
middle of the rounds counts. A row counts from its ``event_time`` on, that moment included, however
old it is. Of rows of one moment the one known last would be the newest; but no two rows of a source
happen at once, since DuckDB would take any of them.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import flywheel_benchmarks.as_of_contestants as contestants

FEAST = "feast[duckdb]>=0.60,<0.70"
ROWS_PER_ENTITY = 20
START, YEAR, HOUR = 1_700_000_000_000_000, 365 * 86_400_000_000, 3_600_000_000  # microseconds
ENGINE = "engine"


@dataclass(frozen=True)
class Size:
    """How many rows there are of everything."""

    labels: int
    rows: int
    sources: int

    def __str__(self) -> str:
        return f"{self.labels:,} labels, {self.sources} sources of {self.rows:,} rows"


@dataclass(frozen=True)
class Figure:
    """What one process took: seconds, processor seconds, and both of the work alone; GiB."""

    seconds: float
    processor: float
    work_seconds: float
    work_processor: float
    peak: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compare what was found, and print a table."""
    asked = _arguments(arguments)
    size = Size(int(asked.labels), int(asked.rows), int(asked.sources))
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(asked.cache or scratch)
        cache.mkdir(parents=True, exist_ok=True)
        interpreters = {ENGINE: sys.executable, "duckdb": sys.executable}
        feast = None if asked.no_feast else _feast(cache)
        if feast:
            interpreters["feast"] = str(feast)
        measure(size, interpreters, cache, asked)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("labels", 1e6), ("rows", 2e6), ("sources", 10)):
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shuffled", action="store_true", help="sources in no order of time")
    parser.add_argument("--cache", help="where inputs and Feast's environment are kept")
    parser.add_argument("--no-feast", action="store_true", help="it takes minutes a run")
    return parser.parse_args(arguments)


def measure(
    size: Size, interpreters: Mapping[str, str], cache: Path, asked: argparse.Namespace
) -> None:
    """Run the contestants in turn, compare what they found, and print the table."""
    folder = cache / f"{size.labels}-{size.rows}-{size.sources}-{asked.seed}-{asked.shuffled:d}"
    if not (folder / "labels.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: a child's peak is never below what its parent held at the fork.
        made = multiprocessing.get_context("spawn").Process(
            target=generate, args=(size, asked.seed, folder), kwargs={"shuffled": asked.shuffled}
        )
        made.start()
        made.join()
        if made.exitcode:
            raise RuntimeError(f"the inputs could not be made: see {folder}")
    found: dict[str, list[Figure]] = {name: [] for name in interpreters}
    # Our loops are compiled once on a machine; that is no part of a look-up.
    _run(interpreters[ENGINE], ENGINE, folder)
    for _ in range(asked.runs):
        for name, interpreter in interpreters.items():
            found[name].append(_run(interpreter, name, folder))
    _show(str(size), {name: _middle(figures) for name, figures in found.items()})
    _compare(folder, list(interpreters))


def _run(interpreter: str, contestant: str, folder: Path) -> Figure:
    command = [interpreter, contestants.__file__, contestant, str(folder)]
    ours = {"PYTHONPATH": os.pathsep.join(sys.path)} if interpreter == sys.executable else {}
    begun = time.perf_counter()
    with (folder / f"{contestant}.txt").open("w+") as said:
        environment = os.environ | {"FEAST_USAGE": "False"} | ours
        process = subprocess.Popen(command, stdout=said, env=environment)  # noqa: S603
        # The system's own figures for this one child, and for those it waited for.
        _, status, used = os.wait4(process.pid, 0)
        took = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            raise RuntimeError(f"{contestant} ended with {process.returncode}")
        work = json.loads(said.read().splitlines()[-1])
    return Figure(
        seconds=took,
        processor=used.ru_utime + used.ru_stime,
        work_seconds=work["seconds"],
        work_processor=work["processor"],
        peak=used.ru_maxrss / 2**20,
    )


def _middle(figures: Sequence[Figure]) -> Figure:
    names = Figure.__dataclass_fields__
    return Figure(**{n: statistics.median(getattr(f, n) for f in figures) for n in names})


def _show(title: str, figures: Mapping[str, Figure]) -> None:
    ours = figures[ENGINE]
    print(f"\n{title}: medians; in brackets without the loading of libraries")
    heads = ("wall s", "CPU s", "peak GiB", "wall / ours", "CPU / ours")
    print(f"{'':8}" + "".join(f"{head:>18}" for head in heads))
    for name, f in figures.items():
        wall, cpu = f.work_seconds / ours.work_seconds, f.work_processor / ours.work_processor
        cells = (
            f"{f.seconds:.2f} ({f.work_seconds:.2f})",
            f"{f.processor:.2f} ({f.work_processor:.2f})",
            f"{f.peak:.2f}",
            f"{f.seconds / ours.seconds:.2f} ({wall:.2f})",
            f"{f.processor / ours.processor:.2f} ({cpu:.2f})",
        )
        print(f"{name:8}" + "".join(f"{cell:>18}" for cell in cells))


def _compare(folder: Path, names: Sequence[str]) -> None:
    import polars as pl

    ours = pl.read_parquet(folder / f"{ENGINE}.parquet")
    for name in names:
        theirs = pl.read_parquet(folder / f"{name}.parquet")
        if not ours.equals(theirs):
            raise RuntimeError(f"{name} found other values than {ENGINE}: see {folder}")
    nulls = sum(ours.null_count().row(0)) / ours.width / ours.height
    print(f"{', '.join(names)} found the same for {ours.height:,} labels ({nulls:.1%} null)")


def generate(size: Size, seed: int, folder: Path, *, shuffled: bool) -> None:
    """Write ``source_<i>.parquet`` in order of arrival, or in none, and ``labels.parquet``.

    A source has ``entity``, ``event_time``, ``known_at`` (an hour later on average), and one or two
    columns of values. One label in a hundred is of the very moment of a row of the first source.
    """
    import numpy as np
    import polars as pl

    chance = np.random.default_rng(seed)
    entities = max(size.rows // ROWS_PER_ENTITY, 1)

    def moments(n: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        step = YEAR // n
        return START + np.arange(n) * step + chance.integers(0, step, n)

    def utc(*names: str) -> list[pl.Expr]:
        return [pl.from_epoch(n, "us").dt.replace_time_zone("UTC") for n in names]

    edge = pl.DataFrame()
    for i in range(size.sources):
        happened = moments(size.rows)
        known = happened + chance.exponential(HOUR, size.rows).astype(np.int64)
        columns = {
            "entity": chance.integers(0, entities, size.rows),
            "event_time": happened,
            "known_at": known,
            f"value_{i}": np.round(chance.lognormal(3, 1, size.rows), 2),
        }
        if i % 2:
            columns[f"value_{i}_count"] = chance.integers(0, 1_000, size.rows)
        table = pl.DataFrame(columns).with_columns(utc("event_time", "known_at"))
        table = (
            table.sample(fraction=1, shuffle=True, seed=seed)
            if shuffled
            else table.sort("known_at")
        )
        table.write_parquet(folder / f"source_{i}.parquet")
        if i == 0:
            edge = table.sample(size.labels // 100, seed=seed).select("entity", "event_time")
    n = size.labels - edge.height
    drawn = {
        "entity": chance.integers(0, entities, n),
        "event_time": chance.permutation(moments(n)),
    }
    labels = pl.concat([pl.DataFrame(drawn).with_columns(utc("event_time")), edge])
    labels = labels.sample(fraction=1, shuffle=True, seed=seed).with_row_index("label")
    labels.with_columns(pl.col("label").cast(pl.Int64)).write_parquet(folder / "labels.parquet")


def _feast(cache: Path) -> Path | None:
    """Give the interpreter of an environment that has Feast; None where it cannot be installed."""
    python = cache / "feast" / "bin" / "python"
    if not python.exists():
        venv.create(cache / "feast", with_pip=True)
    install = [str(python), "-m", "pip", "install", "--quiet", FEAST]
    done = subprocess.run(install, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        print(f"Feast is left out: {FEAST} could not be installed ({last})")
        return None
    return python


if __name__ == "__main__":
    main()
