"""A registered model, loaded from the types that it may be of, and what it scores."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from flywheel_assets.declare.allocate import Arms
from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.errors import ColumnsError, HomeError, UnfitModelError, nearest
from flywheel_assets.notebook.moments import When, moment_of
from flywheel_assets.stages.model import scorer
from flywheel_assets.stages.policy import check_fits, ranked
from flywheel_assets.stores.home import Home
from flywheel_assets.stores.models import Models
from flywheel_assets.stores.promotions import Ledger
from flywheel_assets.stores.registry import Registry
from flywheel_assets.stores.tables import Tables

SHOWN = 5
"""How many rows and features a message names."""


@dataclass(frozen=True)
class Loaded:
    """One registered version of a flywheel's model.

    Parameters
    ----------
    name : str
        As it is registered.
    version : int
    trained_on : date
        The partition that trained it.
    fitted : Trained
        What was fitted: ``fitted.estimator`` is the scikit-learn estimator, ``fitted.features`` the
        names that it reads, in order.
    """

    flywheel: Flywheel = field(repr=False)
    name: str
    version: int
    trained_on: date
    fitted: Any = field(repr=False)

    @property
    def features(self) -> list[str]:
        """What it reads."""
        return list(self.fitted.features)

    def score(self, seen: pl.DataFrame) -> pl.DataFrame:
        """Score what decisions see.

        Parameters
        ----------
        seen : DataFrame, (n_rows, ...)
            With the model's features, as `OpenHome.features` gives them for the flywheel.

        Returns
        -------
        DataFrame, (n_rows, ...)
            The same rows with ``score``, by which the policy ranks; with arms with a
            ``score_<arm>`` for each of them.

        Raises
        ------
        ColumnsError
            For a feature that is not there, or null where the estimator cannot score nulls.
        UnfitModelError
            For what it cannot score for another reason.
        """
        self._check_columns(seen)
        try:
            predicted = scorer(self.fitted, self.flywheel)(seen)
        except UnfitModelError as error:
            raise self._of_nulls(seen) or error from error
        check_fits(predicted, self.flywheel)
        value = ranked(predicted.expected, self.flywheel)
        names = ["score"]
        if isinstance(self.flywheel.policy.allocation, Arms):
            names = [f"score_{action}" for action in self.flywheel.policy.actions]
        return seen.with_columns(pl.Series(n, value[:, i]) for i, n in enumerate(names))

    def _check_columns(self, seen: pl.DataFrame) -> None:
        lacking = [name for name in self.features if name not in seen.columns]
        if lacking:
            raise ColumnsError(
                expected=f"rows with the features of {self.name}: {', '.join(self.features)}",
                found=f"no {', '.join(lacking)}",
                remedy=f"call home.features(spine, {self.flywheel.name!r}) first, and score that",
            )

    def _of_nulls(self, seen: pl.DataFrame) -> ColumnsError | None:
        """Say where features are null, as they are of an entity that its view does not have."""
        values = seen.select(self.features).fill_nan(None)
        rows = values.select(pl.any_horizontal(pl.all().is_null()).arg_true()).to_series()
        if rows.is_empty():
            return None
        names = [name for name in self.features if values[name].null_count()]
        more = f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""
        return ColumnsError(
            expected=f"rows that {self.name} can score",
            found=f"null features in row {', '.join(map(str, rows.head(SHOWN)))}{more}: "
            f"{', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}",
            remedy="leave these rows out: decisions consider nobody whom the view has no row of; "
            "or give the estimator an imputer",
        )


def load(home: Home, flywheel: Flywheel, version: int | None, as_of: When | None) -> Loaded:
    """Load a version: the one that is named, or who decides as of a time, or now.

    Raises
    ------
    HomeError
        For a version that is not registered, and where the bootstrap rule decided.
    """
    if version is not None and as_of is not None:
        raise HomeError(
            expected="a version, or as of when its champion decides",
            found="both",
            remedy="leave one of the two out",
        )
    if version is None:
        version = _champion(home, flywheel, as_of)
    name = f"{flywheel.name}.{flywheel.model.name}"
    models = Models(home.mlflow)
    known = Registry(models).versions(name)
    if version not in known:
        raise HomeError(
            expected=f"a registered version of {name}",
            found=str(version),
            remedy=nearest(str(version), map(str, known)),
        )
    fitted = models.load(name, version, flywheel.model.trusted_types)
    return Loaded(flywheel, name, version, known[version].trained, fitted)


def _champion(home: Home, flywheel: Flywheel, as_of: When | None) -> int:
    ledger = Ledger(Tables(home.lakehouse), flywheel.name)
    closed = (moment_of(as_of) - timedelta(days=1)).date() if as_of is not None else date.max
    champion = ledger.champion(closed)
    if champion is not None:
        return champion.version
    first = ledger.entries()
    when = f"since {first['partition_date'][0]}" if first.height else "not yet"
    raise HomeError(
        expected=f"a champion of {flywheel.name}",
        found=f"the bootstrap rule; a model decides {when}",
        remedy="name a version=, or a later as_of=" if first.height else "turn it until one is",
    )
