"""Evals written as test functions: `@pytest.mark.evals(rollouts=5, gates=["reward >= 0.8"])`."""
