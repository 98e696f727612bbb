"""Evals under pytest-xdist: a controller that owns the runs, and workers that execute them."""
