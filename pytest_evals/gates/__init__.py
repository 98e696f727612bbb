"""Gates: conditions on an eval's results, and their verdicts."""
