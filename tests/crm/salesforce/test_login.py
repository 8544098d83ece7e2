from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.crm.salesforce import SalesforceConnector, SalesforceSettings
from engine.crm.salesforce.auth import audience
from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net
from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import accounts
from tests.crm.salesforce.org import Org


async def refused(settings: SalesforceSettings) -> ProviderError:
    connector = SalesforceConnector(settings, Net())
    try:
        with pytest.raises(ProviderError) as caught:
            await connector.users()
    finally:
        await connector.close()
    assert "s3cret" not in str(caught.value)
    return caught.value


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def jwt_settings(
    world: World, settings: SalesforceSettings, key: rsa.RSAPrivateKey, tmp_path: Path
) -> SalesforceSettings:
    path = tmp_path / "key.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    accounts.register_jwt_client(world, "jwt-app", public.decode())
    return replace(
        settings, auth="jwt", client_id="jwt-app", username="ann@acme.example", private_key_file=str(path)
    )


async def test_users_are_listed_with_their_zone(org: Org) -> None:
    (ann,) = await org.connector.users()
    assert (ann.email, ann.name, ann.zone, ann.active) == (
        "ann@acme.example",
        "Ann Berg",
        "Europe/Berlin",
        True,
    )


async def test_a_signed_assertion_logs_in_too(jwt_settings: SalesforceSettings) -> None:
    connector = SalesforceConnector(jwt_settings, Net())
    assert [user.email for user in await connector.users()] == ["ann@acme.example"]
    await connector.close()


async def test_the_token_path_may_be_part_of_the_address(settings: SalesforceSettings) -> None:
    connector = SalesforceConnector(
        replace(settings, login_url=settings.login_url + "/services/oauth2/token"), Net()
    )
    assert await connector.users()
    await connector.close()


async def test_the_secret_may_come_from_the_environment(
    settings: SalesforceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = replace(settings, client_secret_file="", client_secret_env="ACME_SF_SECRET")
    error = await refused(named)
    assert error.kind is ErrorKind.CONFIGURATION
    assert "ACME_SF_SECRET" in error.detail
    monkeypatch.setenv("ACME_SF_SECRET", "s3cret-value")
    connector = SalesforceConnector(named, Net())
    assert await connector.users()
    await connector.close()


async def test_an_unreadable_file_is_named_with_its_setting(
    settings: SalesforceSettings, tmp_path: Path
) -> None:
    error = await refused(replace(settings, client_secret_file=str(tmp_path / "none")))
    assert error.kind is ErrorKind.CONFIGURATION
    assert str(tmp_path / "none") in error.detail
    assert "client_secret_file" in error.detail
    (tmp_path / "empty").write_text("\n")
    assert "is empty" in (await refused(replace(settings, client_secret_file=str(tmp_path / "empty")))).detail
    assert "client_secret_file" in (await refused(replace(settings, client_secret_file=""))).detail


async def test_a_wrong_secret_says_what_to_check(settings: SalesforceSettings, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("s3cret-but-wrong")
    error = await refused(replace(settings, client_secret_file=str(tmp_path / "wrong")))
    assert error.kind is ErrorKind.CREDENTIAL
    assert "invalid_client" in error.detail
    assert "consumer secret" in error.advice


async def test_refusals_of_the_assertion_say_what_to_check(
    jwt_settings: SalesforceSettings, tmp_path: Path
) -> None:
    nobody = await refused(replace(jwt_settings, username="nobody@acme.example"))
    assert "Pre-authorise" in nobody.advice
    elsewhere = await refused(replace(jwt_settings, audience="https://elsewhere.example"))
    assert "audience" in elsewhere.advice
    (tmp_path / "broken.pem").write_text("-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n")
    broken = await refused(replace(jwt_settings, private_key_file=str(tmp_path / "broken.pem")))
    assert broken.kind is ErrorKind.CONFIGURATION
    assert "private_key_file" in broken.detail


async def test_an_unknown_way_to_log_in_is_named(settings: SalesforceSettings) -> None:
    error = await refused(replace(settings, auth="password"))
    assert error.kind is ErrorKind.CONFIGURATION
    assert "client_credentials or jwt" in error.advice


def test_the_audience_of_an_assertion() -> None:
    assert audience("https://acme.my.salesforce.com") == "https://login.salesforce.com"
    assert audience("https://acme--dev.sandbox.my.salesforce.com") == "https://test.salesforce.com"
    assert audience("https://test.salesforce.com") == "https://test.salesforce.com"
    assert audience("http://127.0.0.1:8080") == "http://127.0.0.1:8080"


async def test_doctor_finds_a_healthy_org_healthy(org: Org) -> None:
    findings = await org.connector.check()
    assert all(finding.ok for finding in findings), findings
    checks = [finding.check for finding in findings]
    assert checks[:2] == ["token", "api version"]
    assert {"object Contact", "object Event", "users", "api requests"} <= set(checks)


async def test_doctor_says_what_is_wrong(
    settings: SalesforceSettings, world: World, tmp_path: Path, org: Org
) -> None:
    (tmp_path / "wrong").write_text("wrong")
    connector = SalesforceConnector(replace(settings, client_secret_file=str(tmp_path / "wrong")), Net())
    (finding,) = await connector.check()
    await connector.close()
    assert (finding.ok, finding.check) == (False, "token")
    assert "consumer secret" in finding.advice
    world.settings["sf_daily_limit"] = 3
    short = [finding for finding in await org.connector.check() if not finding.ok]
    assert [finding.check for finding in short] == ["api requests"]
    connector = SalesforceConnector(replace(settings, api_version="99.0"), Net())
    bad = [finding for finding in await connector.check() if not finding.ok]
    await connector.close()
    assert bad
    assert bad[0].check == "api version"
