"""TOML and options become EvalSpecs."""
