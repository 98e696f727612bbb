"""The providers known by name: where they serve, which key they take, what they speak."""

from __future__ import annotations

from dataclasses import dataclass

from .endpoint import DEFAULT_CLIENT_TYPE

DEFAULT_PROVIDER = "prime"
DEFAULT_MODEL = "openai/gpt-4.1-mini"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider.

    Attributes:
        url: base URL, without a trailing slash.
        key_var: the environment variable that holds the key.
        client_type: the wire format.
        key_optional: whether it also answers without a key, as a server on this machine may.
    """

    url: str
    key_var: str
    client_type: str = DEFAULT_CLIENT_TYPE
    key_optional: bool = False


_VLLM = Provider("http://localhost:8000/v1", "VLLM_API_KEY", key_optional=True)

PROVIDERS = {
    "prime": Provider("https://api.pinference.ai/api/v1", "PRIME_API_KEY"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "openai": Provider("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "anthropic": Provider("https://api.anthropic.com", "ANTHROPIC_API_KEY", "anthropic_messages"),
    "minimax": Provider("https://api.minimax.chat/v1", "MINIMAX_API_KEY"),
    "deepseek": Provider("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "glm": Provider("https://open.bigmodel.cn/api/paas/v4", "GLM_API_KEY"),
    "local": _VLLM,
    "vllm": _VLLM,
}
