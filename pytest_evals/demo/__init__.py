"""A loopback server of OpenAI's and Anthropic's APIs with a deterministic, imperfect model."""
