"""A loopback OpenAI-compatible server with a deterministic, imperfect model."""
