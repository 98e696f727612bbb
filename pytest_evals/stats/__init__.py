"""Estimators over the rows of an eval; pure functions, no I/O."""
