"""Measurements, as ratios taken in one run; what they must be is a matter of issues, not of tests."""
