"""Tables of prices: what is read, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_evals.endpoints.prices import Cost, Price, load_prices
from pytest_evals.endpoints.registry import load_registry
from pytest_evals.endpoints.resolution import resolve_endpoint
from pytest_evals.errors import ConfigError

ROW = '[[price]]\nmodel = "a"\ninput_price = 0.4\noutput_price = 2\n'


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_prices(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_prices_by_model(tmp_path: Path) -> None:
    free = '[[price]]\nmodel = "org/b.c"\ninput_price = 0\noutput_price = 0.0\n'
    prices = load_prices(table(tmp_path, ROW + free))
    assert prices == {"a": Price(0.4, 2.0), "org/b.c": Price(0.0, 0.0)}
    assert load_prices(table(tmp_path, "")) == {}


def test_a_cost_is_per_million_tokens() -> None:
    assert Price(0.4, 2.0).cost_of(1_000_000, 500_000) == Cost(0.4, 1.0)
    assert Price(0.4, 2.0).cost_of(3, -1).total_usd == pytest.approx(1.2e-6)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("# \n" + ROW + ROW, 6, "model 'a' has a price already"),
        (ROW.replace("model", "modle"), 1, "unknown key 'modle' (did you mean 'model'?)"),
        ("[[price]]\ninput_price = 1\noutput_price = 1", 1, "'model' must be the id"),
        ('[[price]]\nmodel = " "\n', 1, "'model' must be the id"),
        ('[[price]]\nmodel = "a"\n', 1, "'input_price' and 'output_price' are missing"),
        ('[[price]]\nmodel = "a"\ninput_price = 1\n', 1, "'output_price' is missing"),
        *(
            (ROW.replace("0.4", value), 1, "'input_price' must be USD per million tokens")
            for value in ("-1", "nan", "inf", '"0.4"', "true", "[1]", "1e999")
        ),
        ('[price]\nmodel = "a"\n', 1, "two brackets"),
        ("price = 3", 1, "two brackets"),
        ('["a"]\ninput_price = 1\n', 1, "unknown key 'a' at the top level"),
        ("[[prices]]\n", 1, "(did you mean 'price'?)"),
        ("a = \n", 1, "is not TOML"),
    ],
)
def test_what_is_no_table_of_prices(tmp_path: Path, text: str, line: int, says: str) -> None:
    error = refused(table(tmp_path, text))
    assert says in str(error)
    assert error.line == line


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "the table of prices does not exist" in str(refused(tmp_path / "none.toml"))
    assert "cannot be read" in str(refused(tmp_path))
    path = tmp_path / "prices.toml"
    path.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in str(refused(path))
    assert "TOML" in str(refused(table(tmp_path, "a = " + "[" * 10_000)))


SERVER = 'url = "http://127.0.0.1:1/v1"\n'


def test_the_price_in_a_row_of_the_registry(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    row = '[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\n' + SERVER
    path.write_text(row + "input_price = 1\noutput_price = 2.5\n")
    endpoint = load_registry(path, required=True).find("a")
    assert endpoint is not None
    assert endpoint.price == Price(1.0, 2.5)
    for text, line in (
        ("input_price = 1\n", 5),
        ("output_price = -1\ninput_price = 1\n", 5),
        ('input_price = 1\noutput_price = "2"\n', 6),
    ):
        path.write_text(row + text)
        with pytest.raises(ConfigError, match="USD per million tokens") as caught:
            load_registry(path, required=True)
        assert caught.value.line == line


def test_a_row_that_is_served_elsewhere_has_another_price(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    path.write_text(
        '[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\n' + SERVER
        + "input_price = 1\noutput_price = 2\n"
    )  # fmt: skip

    def price(provider: str | None = None, url: str | None = None) -> Price | None:
        return resolve_endpoint(
            model="a", endpoint_id=None, endpoints_path=path, provider=provider,
            api_base_url=url, api_key_var=None, default_path=path,
        ).price  # fmt: skip

    assert price() == Price(1.0, 2.0)
    assert price(provider="openai") is None
    assert price(url="http://127.0.0.1:2/v1") is None
