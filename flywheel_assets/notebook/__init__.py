"""A home in a notebook: its tables, features, models and decisions, in one handle.

::

    from flywheel_assets.notebook import open_home

    home = open_home("data")
    home                                            # lists what is there
    home.table("organize/fct_order_line")           # a Polars LazyFrame; version=, as_of=
    home.features(spine, "repurchase")              # as training would
    home.model("repurchase").score(frame)
    decided = home.table("repurchase/decisions").collect()
    home.explain(decided["decision_id"][0])
"""

from flywheel_assets.notebook.home import OpenHome, open_home

__all__ = ["OpenHome", "open_home"]
