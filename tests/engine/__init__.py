"""Tests of the engine as an ordinary library: no pytest sessions."""
