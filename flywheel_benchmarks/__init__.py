"""Measurements, as ratios taken in one run; the bars are in issues, not in tests."""
