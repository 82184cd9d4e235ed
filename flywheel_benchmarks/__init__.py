"""Measurements beside peers, as ratios taken in one run."""
