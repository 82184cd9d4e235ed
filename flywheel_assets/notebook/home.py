"""The handle: one home, opened in one line."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from flywheel_assets.declare.features import Aggregation
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import HomeError
from flywheel_assets.notebook import computing, explaining, models, tables
from flywheel_assets.notebook.explaining import Explanation
from flywheel_assets.notebook.models import Loaded
from flywheel_assets.notebook.moments import When
from flywheel_assets.notebook.tables import Listing
from flywheel_assets.project import declared, named
from flywheel_assets.stores.home import Home, current_home
from flywheel_assets.stores.tables import Tables


def open_home(root: str | Path | None = None, flywheels: Sequence[Flywheel] = ()) -> "OpenHome":
    """Open a home, to read it; nothing in it is changed.

    Parameters
    ----------
    root : path, optional
        ``FLYWHEEL_HOME`` without it, else ``data`` of the project or the working directory.
    flywheels : sequence of Flywheel, optional
        Those of the project in the working directory without them, else the bundled ones.

    Raises
    ------
    HomeError
        For a folder that is no home.
    """
    home = Home(Path(root).expanduser().resolve()) if root is not None else current_home()
    if not home.lakehouse.is_dir():
        raise HomeError(
            expected="a home, in which a flywheel has turned",
            found=f"no tables in {home.root}",
            remedy="run `flywheel run` or `flywheel demo` first, or name another folder",
        )
    return OpenHome(home, tuple(flywheels) or declared())


@dataclass(frozen=True, repr=False)
class OpenHome:
    """A home that is read. Shown by itself, it lists its tables.

    Parameters
    ----------
    home : Home
    flywheels : tuple of Flywheel
        What is declared.
    """

    home: Home
    flywheels: tuple[Flywheel, ...] = field(repr=False)

    def __repr__(self) -> str:
        return f"{self.home.root}\n{self.tables()!r}"

    def _repr_html_(self) -> str:
        return self.tables()._repr_html_()

    def tables(self) -> Listing:
        """List the tables that are there: newest partition, rows, owners, description."""
        return tables.listing(self._tables, self.flywheels)

    def columns(self, table: str) -> pl.DataFrame:
        """Give a table's columns: ``column``, ``dtype``, ``description``.

        Raises
        ------
        HomeError
            For a table that is not there, naming the nearest.
        """
        return tables.columns(self._tables, self.flywheels, table)

    def table(
        self, name: str, *, version: int | None = None, as_of: When | None = None
    ) -> pl.LazyFrame:
        """Scan a table; nothing is read before ``collect``.

        Parameters
        ----------
        name : str
            Its asset key, for example ``organize/fct_order_line``.
        version : int, optional
            Of the Delta table; what stands there now without it.
        as_of : date, datetime or str, optional
            Only what had been known before a time with a zone, or by the close of a day (as text:
            ``"2026-01-31"``): rows by their ``known_at`` where they have one, else whole
            partitions, once closed.

        Raises
        ------
        HomeError
            For a table or version that is not there, naming what is.
        ColumnsError
            For a time without a zone, and for text that is neither a day nor a time.
        """
        return tables.read(self._tables, name, version, as_of)

    def features(
        self,
        spine: pl.DataFrame,
        of: str | Aggregation | Sequence[Aggregation],
        *,
        fact: str | None = None,
        by: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Compute features for any entities at any moments, exactly as training would.

        Only what had happened and was known before a row's moment counts: also where that lies
        before the home's first day, whose partition holds what was known by then.

        Parameters
        ----------
        spine : DataFrame, (n_rows, ...)
            The entity's keys, and the moment in ``as_of``, a time with a zone. In any order; rows
            may repeat, and other columns stay.
        of : str or Aggregation or sequence of Aggregation
            A flywheel: what its decisions see. A feature view: its features. Aggregations: these,
            over a fact.
        fact : str, optional
            For aggregations: the fact's name; the only one that there is without it.
        by : sequence of str, optional
            For aggregations: other keys than those of the fact's entity.

        Returns
        -------
        DataFrame, (n_rows, ...)
            The spine's rows in their order, with the features: null where the view has no row of
            the entity at that moment.

        Raises
        ------
        HomeError
            For a name that is not declared, naming the nearest.
        MissingPartitionError
            For moments after the newest day that was made, naming it.
        ColumnsError, DeclarationError
            For columns that the spine or the fact lacks, or that do not fit.
        """
        computing.check_is_frame(spine)
        if isinstance(of, str):
            return computing.declared_features(self.home, self.flywheels, spine, of)
        asked = (of,) if isinstance(of, Aggregation) else tuple(of)
        return computing.ad_hoc_features(self.home, self.flywheels, spine, asked, fact, by)

    def model(
        self,
        flywheel: str | None = None,
        *,
        version: int | None = None,
        as_of: When | None = None,
    ) -> Loaded:
        """Load a flywheel's champion, now or as of a time, or a version of its model.

        Parameters
        ----------
        flywheel : str, optional
            The first that is declared, without it.
        as_of : date, datetime or str, optional
            Who decides when that day closes, by the promotions ledger.

        Raises
        ------
        HomeError
            For a version that is not registered, and where the bootstrap rule decided.
        UnfitModelError
            For a model of types that are not trusted.
        """
        return models.load(self.home, named(self.flywheels, flywheel), version, as_of)

    def explain(self, decision_id: str) -> Explanation:
        """Explain one decision: who was considered, what was seen, who decided, what came of it.

        Raises
        ------
        HomeError
            For an id that no published decision has, naming the nearest.
        """
        return explaining.explain(self.home, self.flywheels, decision_id)

    @property
    def _tables(self) -> Tables:
        return Tables(self.home.lakehouse)
