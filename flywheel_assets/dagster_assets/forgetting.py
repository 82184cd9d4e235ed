"""Forgetting an entity: in which order, and what becomes of models that were trained on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl

from flywheel_assets.dagster_assets.build import build_for, today
from flywheel_assets.dagster_assets.event_log import instance_of
from flywheel_assets.dagster_assets.orphans import orphans, settle
from flywheel_assets.dagster_assets.outside import brought_back
from flywheel_assets.dagster_assets.whom import entity_of, sought_for
from flywheel_assets.declare.flywheel import Catalog, Flywheel, catalog
from flywheel_assets.declare.rules import OBSERVATION_ID
from flywheel_assets.errors import HomeError, many
from flywheel_assets.stages.collect import REJECTED_SCHEMA, observation_schema
from flywheel_assets.stores.alone import alone
from flywheel_assets.stores.delta_log import LOG
from flywheel_assets.stores.forgetting import databases, files, sources, tables
from flywheel_assets.stores.forgetting.receipts import Receipt, Receipts
from flywheel_assets.stores.forgetting.searching import search
from flywheel_assets.stores.forgetting.sought import Sought, own_texts
from flywheel_assets.stores.forgetting.suppressed import Suppressed
from flywheel_assets.stores.forgetting.tables import Holding
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.received import RECEIVED_SCHEMA, received_table
from flywheel_assets.stores.tables import Tables

Tell = Callable[[str], None]
_TOLD_EVERY = 200


def forget(  # noqa: PLR0913  whom, where, and how it is asked
    home: Home,
    flywheels: Sequence[Flywheel],
    keys: Mapping[str, str],
    *,
    by: str,
    dry_run: bool = False,
    tell: Tell = lambda _: None,
) -> Receipt:
    """Remove an entity from everything below a home, for good, and keep it out.

    Killed at any point, the same again finishes it. Nothing may write to the home meanwhile: no
    run, no API.

    Parameters
    ----------
    keys : mapping of str to str
        The key columns of a declared entity -> their values.
    by : str
        Who asked for it.
    dry_run : bool
        Whether to count alone: all that is theirs stays, and there is no receipt.
    tell : callable
        Told of each step when it begins.

    Raises
    ------
    HomeError
        For keys that no declared entity has, a value that its key cannot have, runs under way.
    """
    things = catalog(flywheels)
    entity = entity_of(things, keys)
    sought = sought_for(things, entity, keys)
    home.require()
    with _alone(home):
        work = _Work(home, things, sought, dry_run=dry_run, tell=tell)
        if dry_run:
            return work.run(Receipt("none", entity.name, {}, by, str(today())))
        digests = Suppressed.of(home).add(sought.keys, sought.integers)
        return work.run(Receipts.of(home).begin(entity.name, digests, by))


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Refuse to begin while runs are under way; let nobody else forget meanwhile."""
    with alone(home, "flywheel forget"):
        instance = instance_of(home)
        for run in orphans(instance):
            settle(instance, run)
        running = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
        if found := instance.get_runs(filters=dg.RunsFilter(statuses=running)):
            raise HomeError(
                expected=f"nobody else at work in {home.root}",
                found=f"{many(len(found), 'run')} under way, {found[0].run_id} for one",
                remedy="wait for them, or terminate them, and run this again",
            )
        yield


@dataclass(frozen=True)
class _Work:
    home: Home
    things: Catalog
    sought: Sought
    dry_run: bool
    tell: Tell

    def run(self, receipt: Receipt) -> Receipt:
        """Do each step; those that say where the others have to look come last."""
        self.tell("looking for words of its payload that nobody else has")
        with_texts = self.sought.also(self._texts())
        holdings = self._look(receipt, with_texts)
        self._keep(receipt)
        self.tell("looking which models were trained on it")
        self._flag(receipt, holdings)
        self._keep(receipt)
        self._elsewhere(receipt, with_texts)
        self._inbox(receipt)
        for holding in sorted(holdings, key=lambda one: one.table.startswith("collect/")):
            if holding.files and not self.dry_run:
                self.tell(f"taking it out of {holding.table}")
                tables.erase(holding, self._in_table(holding.table, with_texts))
        self._after(receipt, holdings)
        self.tell("looking what would bring it back")
        receipt.sources = list(self._outside())
        if not self.dry_run:
            self.tell("searching everything once more")
            receipt.left = self._search(receipt, with_texts)
            Receipts.of(self.home).keep(receipt, finished=not receipt.left)
        return receipt

    def _outside(self) -> Iterator[dict[str, object]]:
        """Name the sources that still have it; files below the home will not, when it is done."""
        below = sources.below(self.home, self.things.observations).values()
        gone = {observation.name for observation in below} if self.dry_run else set()
        for source in brought_back(self.home, self.things.observations, self.sought):
            if source["observation"] not in gone:
                yield source

    def _keep(self, receipt: Receipt) -> None:
        if not self.dry_run:
            Receipts.of(self.home).keep(receipt)

    def _look(self, receipt: Receipt, with_texts: Sought) -> list[Holding]:
        found = []
        for log in sorted(self.home.lakehouse.rglob(LOG)):
            name = log.parent.relative_to(self.home.lakehouse).as_posix()
            self.tell(f"looking through every version of {name}")
            holding = tables.look(log.parent, name, self._in_table(name, with_texts))
            found.append(holding)
            # What a killed run had counted stands.
            receipt.rows.setdefault(
                name,
                {
                    "before": holding.current,
                    "theirs": holding.rows,
                    "past_files": holding.past_files,
                    "after": holding.current,
                },
            )
        return found

    def _in_table(self, table: str, with_texts: Sought) -> Sought:
        """Look by keys; only what sums up the payloads of many is looked through for words."""
        return with_texts if table.endswith("/profile") else self.sought

    def _texts(self) -> list[str]:
        """Find words of its payload, and reasons of its rejects, that nobody else has."""
        found: set[str] = set()
        lake = Tables(self.home.lakehouse)
        for observation in self.things.observations:
            schema = observation_schema(observation)
            words = [
                n
                for n, t in observation.schema.items()
                if t == pl.String and n not in self.sought.keys
            ]
            key = f"collect/{observation.name}"
            for table, columns, whole in (
                (key, words, schema),
                (f"{key}_rejected", ["reason"], REJECTED_SCHEMA),
            ):
                rows = lake.read(table, whole)
                mine = self.sought.rows(whole)
                for column in columns:
                    theirs, others = (
                        rows.filter(which).select(pl.col(column).unique()).collect()[column]
                        for which in (mine, ~mine)
                    )
                    found.update(own_texts(theirs, others))
        return sorted(found)

    def _flag(self, receipt: Receipt, holdings: Sequence[Holding]) -> None:
        by_table = {holding.table: holding for holding in holdings}
        if not (self.home.mlflow / "mlflow.db").exists():
            return
        registry = build_for(self.home).registry
        known = {(m["model"], m["version"]) for m in receipt.models}
        for name, version, source in list(registry.trained()):
            holding = by_table.get(source.table)
            if holding is None or (name, version) in known:
                continue
            rows = tables.held_by(holding, source.delta_version, source.first, source.last)
            if rows:
                receipt.models.append({"model": name, "version": version, "rows": rows})
                if not self.dry_run:
                    registry.flag(name, version, receipt.id)

    def _elsewhere(self, receipt: Receipt, sought: Sought) -> None:
        in_home = sources.below(self.home, self.things.observations)
        every = list(self._others())
        for n, file in enumerate(every):
            if n % _TOLD_EVERY == 0:
                self.tell(f"MLflow, Dagster and other files: {n:,} of {len(every):,}")
            name = file.relative_to(self.home.root).as_posix()
            if file in in_home:
                self._noted(receipt, name, sources.count(file, in_home[file], self.sought))
                if not self.dry_run:
                    sources.erase(file, in_home[file], self.sought)
                continue
            count = self._noted(receipt, name, files.mentions(file, sought))
            if not self.dry_run and (count or databases.is_database(file)):
                files.scrub(self.home, file, sought)

    def _others(self) -> Iterator[Path]:
        return files.others(self.home, sources.databases_below(self.home, self.things.observations))

    def _inbox(self, receipt: Receipt) -> None:
        file = self.home.inbox / "inbox.sqlite"
        if not file.exists():
            return
        self.tell("the inbox")
        ids = list(self._ids())
        self._noted(receipt, "inbox", databases.received(file, self.sought, ids))
        if not self.dry_run:
            databases.erase_received(file, self.sought, ids)

    def _noted(self, receipt: Receipt, name: str, count: int) -> int:
        """Keep what a place holds before anything goes: a killed run's count is not lost."""
        if count:
            receipt.elsewhere[name] = max(count, receipt.elsewhere.get(name, 0))
            self._keep(receipt)
        return count

    def _ids(self) -> Iterator[tuple[str, str]]:
        """Name its observations, by which the inbox knows what is sent again."""
        lake = Tables(self.home.lakehouse)
        for observation in self.things.observations:
            kind = observation.name
            for table, schema in (
                (f"collect/{kind}", observation_schema(observation)),
                (received_table(kind), RECEIVED_SCHEMA),
            ):
                rows = lake.read(table, schema).filter(self.sought.rows(schema))
                ids = rows.select(pl.col(OBSERVATION_ID).drop_nulls()).collect()[OBSERVATION_ID]
                yield from ((kind, one) for one in ids)

    def _after(self, receipt: Receipt, holdings: Sequence[Holding]) -> None:
        for holding in holdings if not self.dry_run else ():
            tables.clean_log(holding.folder, self.sought)
            receipt.rows[holding.table]["after"] = tables.n_rows(holding.folder)

    def _search(self, receipt: Receipt, with_texts: Sought) -> list[str]:
        found = [*search(self.home.lakehouse, self.sought), *search(self.home.inbox, self.sought)]
        found += [file for file in self._others() if files.mentions(file, with_texts)]
        every = [file for file in self.home.root.rglob("*") if file.is_file()]
        receipt.searched = {
            "files": len(every),
            "bytes": sum(file.stat().st_size for file in every),
        }
        return sorted({file.relative_to(self.home.root).as_posix() for file in found})
