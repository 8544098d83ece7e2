"""The settings of an Exchange connection: what is taken, what is refused and how."""

from __future__ import annotations

import pytest

from engine.model.config import ConfigErrors, export, parse
from engine.model.policy import Connection

PLAIN = """
[connections.mail]
kind = "exchange"
url = "https://mail.acme.example/EWS/Exchange.asmx"
username = 'ACME\\sync'
password_file = "secrets/exchange.txt"
"""


def read(text: str) -> Connection:
    """The only connection of a configuration."""
    (connection,) = parse(text, "x").connections
    return connection


def refused(text: str) -> dict[str, str]:
    """Problems by the last part of their place."""
    with pytest.raises(ConfigErrors) as caught:
        parse(text, "x")
    return {each.where.removeprefix("connections.mail."): str(each) for each in caught.value.problems}


def test_a_connection_is_read_and_exported() -> None:
    connection = read(PLAIN)
    assert connection.kind == "exchange"
    assert connection.settings["username"] == "ACME\\sync"
    configuration = parse(PLAIN, "x")
    assert parse(export(configuration), "x") == configuration


def test_addresses_of_failure_mails_are_checked_one_by_one_and_told_once() -> None:
    line = 'notify_sync_failure_to = " Ann@acme.example;; bob@acme.example ; ann@ACME.example;"\n'
    assert read(PLAIN + line).settings["notify_sync_failure_to"] == "ann@acme.example;bob@acme.example"
    found = refused(PLAIN + 'notify_sync_failure_to = "ann@acme.example; bob"\n')
    assert "'bob' in it is not an e-mail address" in found["notify_sync_failure_to"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("batch_size = 0", "batch_size"),
        ("batch_size = 513", "batch_size"),
        ('version = "Exchange2007"', "version"),
        ('mode = "pushed"', "mode"),
        ('mode = "push"', "notification_url"),
        ("notification_frequency = 0", "notification_frequency"),
        ("notification_frequency = 1441", "notification_frequency"),
        ("max_connections = 0", "max_connections"),
        ("timeout = 0", "timeout"),
        ('auth = "oauth"', "client_id"),
        ('auth = "digest"', "auth"),
    ],
)
def test_a_wrong_setting_is_refused_where_it_stands(line: str, name: str) -> None:
    assert name in refused(PLAIN + line + "\n")


def test_each_way_to_log_in_asks_for_its_own_settings() -> None:
    bare = '[connections.mail]\nkind = "exchange"\nurl = "https://mail.acme.example/EWS/Exchange.asmx"\n'
    assert set(refused(bare)) == {"username", "password_file"}
    assert set(refused(bare + 'auth = "oauth"\n')) == {"client_id", "tenant", "client_secret_file"}
    assert set(refused(PLAIN + 'password_env = "EXCHANGE_PASSWORD"\n')) == {"password_file"}
    oauth = 'auth = "oauth"\nclient_id = "x"\ntoken_uri = "https://login.acme.example/token"\n'
    assert read(bare + oauth + 'client_secret_env = "SECRET"\n').settings["auth"] == "oauth"


def test_a_password_goes_over_https_or_stays_on_this_machine() -> None:
    plain = PLAIN.replace("https://mail.acme.example", "http://mail.acme.example")
    assert "unencrypted" in refused(plain)["url"]
    for host in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080"):
        url = f"http://{host}/EWS/Exchange.asmx"
        assert read(PLAIN.replace("https://mail.acme.example/EWS/Exchange.asmx", url)).settings["url"] == url


def test_a_password_in_the_file_is_refused_and_never_repeated() -> None:
    found = refused(PLAIN + 'password = "Hunter2-Hunter2"\n')
    assert "Hunter2" not in "".join(found.values())
    assert "password_file" in found["password"]
