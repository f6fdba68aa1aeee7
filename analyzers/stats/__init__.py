"""The mathematics of release comparison: pure functions of sufficient statistics, no input or output.

Formulas with their sources, defaults and measured behaviour: docs/statistics.md.
"""
