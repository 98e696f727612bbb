from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_evals.endpoints.registry import Registry, load_registry
from pytest_evals.errors import ConfigError

ROW = '[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\nurl = "https://host/v1"\nkey = "A_KEY"\n'
SERVED = '[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\nserve = "{python} -m s {port}"\n'


def load(tmp_path: Path, text: str) -> Registry:
    path = tmp_path / "endpoints.toml"
    path.write_text(text, encoding="utf-8")
    return load_registry(path, required=True)


def refused(tmp_path: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert caught.value.path == tmp_path / "endpoints.toml"
    return caught.value


def test_row_as_verifiers_writes_it(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        "# a comment\n\n"
        '[[endpoint]]\nendpoint_id = "claude"\nmodel = "claude-4"\n'
        'url = "https://api.anthropic.com/"\nkey = "ANTHROPIC_API_KEY"\n'
        'api_client_type = "anthropic_messages"\nheaders = { "X-Custom" = "value" }\n',
    )

    endpoint = registry.find("claude")

    assert endpoint is not None
    assert endpoint.model == "claude-4"
    assert endpoint.url == "https://api.anthropic.com"
    assert endpoint.key_var == "ANTHROPIC_API_KEY"
    assert endpoint.client_type == "anthropic_messages"
    assert endpoint.headers == {"X-Custom": "value"}
    assert endpoint.serve is None
    assert endpoint.label == f"endpoint 'claude' ({tmp_path / 'endpoints.toml'}:3)"


def test_long_names_of_keys(tmp_path: Path) -> None:
    registry = load(
        tmp_path,
        '[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\napi_base_url = "https://host/v1"\n'
        'api_key_var = "K"\nextra_headers = { A = "b" }\ntype = "openai_completions"\n',
    )

    endpoint = registry.find("a")

    assert endpoint is not None
    assert (endpoint.url, endpoint.key_var) == ("https://host/v1", "K")
    assert endpoint.headers == {"A": "b"}
    assert endpoint.client_type == "openai_completions"


def test_label_is_relative_inside_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/endpoints.toml").write_text(ROW)
    monkeypatch.chdir(tmp_path)

    endpoint = load_registry(tmp_path / "configs", required=True).find("a")

    assert endpoint is not None
    assert endpoint.label == "endpoint 'a' (configs/endpoints.toml:1)"


def test_both_names_of_a_key_may_agree(tmp_path: Path) -> None:
    assert load(tmp_path, ROW + 'api_key_var = "A_KEY"\n').find("a") is not None

    error = refused(tmp_path, ROW + 'api_key_var = "B_KEY"\n')

    assert error.line == 6
    assert "'key' and 'api_key_var' differ" in str(error)


def test_replicas_keep_file_order(tmp_path: Path) -> None:
    registry = load(tmp_path, ROW + ROW.replace("host", "other"))

    assert [row.url for row in registry.endpoints["a"]] == ["https://host/v1", "https://other/v1"]
    found = registry.find("a")
    assert found is not None
    first, second = registry.endpoints["a"]
    assert found.servers == (replace(first, replicas=(second,)), second)


def test_replicas_speak_the_format_of_the_first(tmp_path: Path) -> None:
    first = ROW.replace('model = "m"', 'model = "m"\ntype = "openai_responses"')
    found = load(tmp_path, first + ROW).find("a")

    assert found is not None
    assert [server.client_type for server in found.servers] == ["openai_responses"] * 2


def test_a_server_that_is_started_here_has_no_replicas(tmp_path: Path) -> None:
    managed = '[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\nserve = "serve {port}"\n'
    assert "'serve'" in str(refused(tmp_path, ROW + managed))


def test_replicas_of_different_models_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, ROW + ROW.replace('"m"', '"n"'))

    assert error.line == 8
    assert "'m'" in str(error) and "'n'" in str(error)


PRICED = "input_price = 1\noutput_price = 2\n"


@pytest.mark.parametrize(
    ("first", "second", "line", "says"),
    [
        (
            PRICED,
            PRICED.replace("2", "3"),
            13,
            "has the prices 1 and 2 and this one the prices 1 and 3",
        ),
        ("", PRICED, 11, "has no price and this one the prices 1 and 2"),
        ("", 'type = "openai_responses"\n', 11, "'openai_chat_completions' and this one"),
        ('type = "openai_responses"\n', 'api_client_type = "anthropic_messages"\n', 12, "this one"),
    ],
)
def test_replicas_that_say_otherwise_are_refused(
    tmp_path: Path, first: str, second: str, line: int, says: str
) -> None:
    error = refused(tmp_path, ROW + first + ROW + second)

    assert says in str(error)
    assert "endpoints.toml:1)" in str(error), "the first row is named"
    assert error.line == line


@pytest.mark.parametrize(("first", "second"), [(PRICED, PRICED), (PRICED, ""), ("", "")])
def test_replicas_of_one_price(tmp_path: Path, first: str, second: str) -> None:
    found = load(tmp_path, ROW + first + ROW + second).find("a")

    assert found is not None
    assert (found.price is None) == (first == "")


def test_missing_default_file_has_no_endpoints(tmp_path: Path) -> None:
    registry = load_registry(tmp_path / "configs/endpoints.toml", required=False)

    assert registry.endpoints == {}
    assert registry.find("a") is None


@pytest.mark.parametrize("text", ["", "# nothing\n", "endpoint = []\n", "\ufeff"])
def test_file_without_rows(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).endpoints == {}


def test_missing_named_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: the endpoint registry does not exist"):
        load_registry(tmp_path / "nowhere.toml", required=True)


def test_folder_without_a_registry(tmp_path: Path) -> None:
    assert load_registry(tmp_path, required=False).path == tmp_path / "endpoints.toml"
    with pytest.raises(ConfigError, match="does not exist"):
        load_registry(tmp_path, required=True)


def test_python_registry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "endpoints.py").write_text("raise SystemExit")

    with pytest.raises(ConfigError, match="must be TOML"):
        load_registry(tmp_path / "endpoints.py", required=True)


def test_syntax_error_has_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, ROW + "key 2\n")

    assert error.line == 6
    assert "is not TOML" in str(error)


def test_malformed_default_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "endpoints.toml").write_text("[[endpoint\n")

    with pytest.raises(ConfigError, match="is not TOML"):
        load_registry(tmp_path, required=False)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe[[endpoint]]",
        b"\0",
        b"a = " + b"[" * 100_000,
        b"endpoint = " + b"9" * 10_000,
    ],
    ids=["not UTF-8", "NUL", "deeply nested", "huge number"],
)
def test_hostile_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "endpoints.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=r"endpoints\.toml"):
        load_registry(tmp_path, required=True)


def test_ten_thousand_rows(tmp_path: Path) -> None:
    text = "".join(ROW.replace('"a"', f'"e{number}"') for number in range(10_000))

    endpoint = load(tmp_path, text).find("e9999")

    assert endpoint is not None
    assert endpoint.label.endswith(":49996)")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (ROW + 'hedaers = { A = "b" }\n', 6, "unknown key 'hedaers' (did you mean 'headers'"),
        (ROW + 'client_type = "x"\n', 6, "write 'api_client_type'"),
        (ROW + 'type = "openai_chat"\n', 6, "did you mean 'openai_chat_completions'"),
        (ROW.replace('"a"', '""'), 2, "'endpoint_id' must be a string that is not empty"),
        (ROW.replace('"a"', "7"), 2, "'endpoint_id' must be a string"),
        (ROW.replace('endpoint_id = "a"\n', ""), 1, "[[endpoint]] number 1: 'endpoint_id' is miss"),
        (ROW.replace('model = "m"\n', ""), 1, "endpoint 'a': 'model' is missing"),
        (ROW.replace('url = "https://host/v1"\n', ""), 1, "'url' is missing"),
        (ROW.replace('key = "A_KEY"\n', ""), 1, "'key' is missing"),
        (ROW.replace("https:", "ftp:"), 4, "must begin with http:// or https://"),
        (ROW.replace("https://host", "https://"), 4, "names no host"),
        (ROW.replace("https://host", "https://[::1"), 4, "is not a URL"),
        (ROW.replace("host/v1", "host:x/v1"), 4, "is not a URL"),
        (ROW.replace("host/v1", "ho st/v1"), 4, "white space"),
        (ROW.replace("host/v1", "host:{port}/v1"), 4, "without 'serve'"),
        (ROW + 'headers = ["A: b"]\n', 6, "'headers' must be a table"),
        (ROW + "headers = { A = 1 }\n", 6, "the value of 'A'"),
        (ROW + 'headers = { "A B" = "c" }\n', 6, "'A B' is not the name"),
        (ROW + 'headers = { A = "x\\r\\nEvil: y" }\n', 6, "the value of 'A'"),
        (ROW + 'headers = { A = "b" }\nextra_headers = { A = "b" }\n', 7, "not both"),
        (ROW + 'ready = "/health"\n', 6, "only together with 'serve'"),
        (ROW + "startup_timeout = 5\n", 6, "only together with 'serve'"),
        ("[endpoint]\n" + ROW.split("\n", 1)[1], 1, "two brackets"),
        ("endpoint = 3\n", 1, "two brackets"),
        (ROW + ROW.replace("endpoint]]", "endpoints]]"), 6, "unknown key 'endpoints'"),
        ("model = 'm'\n" + ROW, 1, "unknown key 'model' at the top level"),
        (SERVED + "startup_timeout = 0\n", 5, "'startup_timeout'"),
        (SERVED + "startup_timeout = true\n", 5, "'startup_timeout'"),
        (SERVED + "startup_timeout = nan\n", 5, "'startup_timeout'"),
        (SERVED + "startup_timeout = inf\n", 5, "'startup_timeout'"),
        (SERVED + 'startup_timeout = "5"\n', 5, "'startup_timeout'"),
        (SERVED + 'ready = "health"\n', 5, "begins with /"),
        (SERVED + 'ready = "/a b"\n', 5, "begins with /"),
        (SERVED.replace("{port}", "8000"), 4, "must hold {port}"),
        (SERVED.replace("{python}", "{pyton}"), 4, "{pyton}"),
        (SERVED.replace("-m s", "'-m s"), 4, "cannot be split"),
        (SERVED.replace("-m s", "\\u0000"), 4, "no command"),
        (SERVED + 'url = "http://127.0.0.1:8000/v1"\n', 5, "must hold {port}"),
        (SERVED + 'url = "http://example.org:{port}/v1"\n', 5, "127.0.0.1"),
    ],
)
def test_bad_row_names_line_and_key(tmp_path: Path, text: str, line: int, message: str) -> None:
    error = refused(tmp_path, text)

    assert message in str(error)
    assert error.line == line


def test_head_within_a_string_is_not_taken_for_a_row(tmp_path: Path) -> None:
    text = ROW.replace('"a"', '"b"') + "headers = { A = 1 }\n"

    error = refused(tmp_path, ROW.replace('"m"', '"""\n[[endpoint]]\n"""') + text)

    assert error.line is None
    assert "endpoint 'b'" in str(error)


def test_inline_rows_have_no_line(tmp_path: Path) -> None:
    error = refused(tmp_path, 'endpoint = [{ endpoint_id = "a" }]\n')

    assert error.line is None
    assert "endpoint 'a': 'model' is missing" in str(error)


@pytest.mark.parametrize(
    "pasted",
    [
        "sk-proj-abcdefghijklmnop",
        "gsk_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKl",
        "x" * 5000,
    ],
)
def test_key_pasted_for_its_variable_is_not_shown(tmp_path: Path, pasted: str) -> None:
    error = refused(tmp_path, ROW.replace("A_KEY", pasted))

    assert "not the key itself" in str(error)
    assert pasted not in str(error)


def test_password_of_a_bad_url_is_not_shown(tmp_path: Path) -> None:
    error = refused(tmp_path, ROW.replace("https://", "ftp://user:hunter22@"))

    assert "hunter22" not in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost:1/v1",
        "http://[::1]:8000/v1",
        "http://0.0.0.0:8000/v1",
        "http://127.8.8.8/v1",
    ],
)
def test_loopback_needs_no_key(tmp_path: Path, url: str) -> None:
    endpoint = load(
        tmp_path, f'[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\nurl = "{url}"\n'
    ).find("a")

    assert endpoint is not None
    assert endpoint.key_var is None


@pytest.mark.parametrize("host", ["127.0.0.1.example.org", "localhost.example.org", "10.0.0.1"])
def test_other_hosts_need_one(tmp_path: Path, host: str) -> None:
    text = f'[[endpoint]]\nendpoint_id = "a"\nmodel = "m"\nurl = "http://{host}/v1"\n'

    assert "'key' is missing" in str(refused(tmp_path, text))
    endpoint = load(tmp_path, text + 'key = "EMPTY"\n').find("a")
    assert endpoint is not None
    assert endpoint.key_var is None


def test_managed_row(tmp_path: Path) -> None:
    endpoint = load(tmp_path, SERVED).find("a")

    assert endpoint is not None
    assert endpoint.serve is not None
    assert endpoint.url == "http://127.0.0.1:{port}/v1"
    assert endpoint.key_var is None
    assert endpoint.serve.command == "{python} -m s {port}"
    assert endpoint.serve.folder == tmp_path
    assert endpoint.serve.ready == "/v1/models"
    assert endpoint.serve.startup_timeout == 120.0


def test_managed_row_with_everything(tmp_path: Path) -> None:
    endpoint = load(
        tmp_path,
        SERVED + 'url = "http://localhost:{port}/api"\nready = "/health?x=1"\n'
        'startup_timeout = 600\nkey = "LOCAL_KEY"\n',
    ).find("a")

    assert endpoint is not None
    assert endpoint.serve is not None
    assert endpoint.url == "http://localhost:{port}/api"
    assert endpoint.key_var == "LOCAL_KEY"
    assert endpoint.serve.ready == "/health?x=1"
    assert endpoint.serve.startup_timeout == 600.0


def test_json_in_a_command_is_no_placeholder(tmp_path: Path) -> None:
    command = """'vllm serve m --port {port} --override \\'{"max": 5, "x": {}}\\''"""
    text = SERVED.split("serve = ")[0] + 'serve = """' + command[1:-1].replace("\\'", "'") + '"""\n'

    endpoint = load(tmp_path, text).find("a")

    assert endpoint is not None
    assert endpoint.serve is not None
    assert '{"max": 5, "x": {}}' in endpoint.serve.command


def test_repr_does_not_show_headers(tmp_path: Path) -> None:
    endpoint = load(tmp_path, ROW + 'headers = { Authorization = "Bearer abcdefgh" }\n').find("a")

    assert endpoint is not None
    assert "abcdefgh" not in repr(endpoint)
