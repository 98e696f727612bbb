from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from pytest_evals.clients.config import ClientConfig
from pytest_evals.environments.given_client import client_from
from pytest_evals.errors import MissingKeyError, SetupError
from tests.environments.scripted_model import ScriptedModel

KEY = "k-1234567890"
LOCAL = "http://127.0.0.1:9/v1"
REMOTE = "https://models.example/v1"
TEAM = {"X-Team": "t"}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.delenv("PRIME_API_KEY", raising=False)


def test_a_client_is_taken_as_it_is() -> None:
    client = ScriptedModel([])

    given = client_from(client, "m")

    assert (given.client, given.is_ours) == (client, False)
    assert (given.endpoint.model, given.endpoint.url) == ("m", "")
    assert given.mask(KEY) == KEY


@pytest.mark.parametrize(
    "config",
    [
        ClientConfig(api_base_url=REMOTE + "/", api_key_var="MY_KEY", extra_headers=TEAM),
        {"api_base_url": REMOTE, "api_key_var": "MY_KEY", "extra_headers": TEAM},
        SimpleNamespace(api_base_url=REMOTE, api_key_var="MY_KEY", extra_headers=TEAM),
        ClientConfig(
            endpoint_configs=[
                ClientConfig(api_base_url=REMOTE, api_key_var="MY_KEY", extra_headers=TEAM)
            ]
        ),
    ],
)
async def test_a_configuration_becomes_a_client(config: Any) -> None:
    given = client_from(config, "m")
    await given.client.close()

    assert given.is_ours
    assert (given.endpoint.url, given.endpoint.key_var) == (REMOTE, "MY_KEY")
    assert given.endpoint.headers == {"X-Team": "t"}
    assert given.mask(f"key {KEY}") == "key ***"


async def test_a_server_on_this_machine_needs_no_key() -> None:
    given = client_from(ClientConfig(api_base_url=LOCAL), "m")
    await given.client.close()

    with pytest.raises(
        MissingKeyError,
        match=r"PRIME_API_KEY is not set, needed by client with .* another api_key_var",
    ):
        client_from(ClientConfig(api_base_url=REMOTE), "m")
    without = client_from(ClientConfig(api_base_url=REMOTE, api_key_var="EMPTY"), "m")
    await without.client.close()


class AsyncOpenAI:
    """What is read of the class of that name."""

    api_key = KEY
    base_url = f"{LOCAL}/"
    default_headers: ClassVar[dict[str, Any]] = {
        "Accept": "application/json",
        "Authorization": f"Bearer {KEY}",
        "User-Agent": "AsyncOpenAI/Python",
        "X-Stainless-Lang": "python",
        "OpenAI-Organization": object(),
        "X-Team": "t",
    }

    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=print))


class AsyncAzureOpenAI(AsyncOpenAI):
    """Another."""


async def test_a_client_of_the_openai_package_gives_its_address_key_and_headers() -> None:
    given = client_from(AsyncOpenAI(), "m")
    await given.client.close()

    assert (given.is_ours, given.endpoint.url) == (True, LOCAL)
    assert given.endpoint.headers == {"X-Team": "t"}
    assert given.mask(f"key {KEY}") == "key ***"


async def test_the_real_openai_package() -> None:
    openai = pytest.importorskip("openai")
    async with openai.AsyncOpenAI(
        api_key=KEY, base_url=LOCAL, default_headers={"X-Team": "t"}
    ) as sdk:
        given = client_from(sdk, "m")
        await given.client.close()

    assert (given.endpoint.url, given.endpoint.headers) == (LOCAL, {"X-Team": "t"})
    assert given.mask(KEY) == "***"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "client is NoneType; give a Client"),
        ("gpt-4", "client is str; give a Client"),
        ({"url": LOCAL}, "client has no field 'url'; it has client_idx"),
        (AsyncAzureOpenAI(), "client is AsyncAzureOpenAI, which is not supported"),
        (ClientConfig(api_base_url="nowhere", api_key_var="EMPTY"), "its url must begin with http"),
        (ClientConfig(api_base_url=LOCAL, client_type="telegraph"), "'telegraph' is not supported"),
    ],
)
def test_what_is_no_client_is_refused(given: Any, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        client_from(given, "m")
