"""Rollouts in flight: the loop thread, groups and limits."""
