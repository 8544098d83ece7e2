"""Who may log in: connected apps, passwords, the three OAuth grants, and sessions that expire."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import Any

import jwt

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import store

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: Audiences that a JWT may name besides the server's own address.
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


class LoginRefused(Exception):
    """A refusal of the token endpoint: ``error`` and ``error_description`` of RFC 6749."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class Session:
    """A valid access token and the user it stands for."""

    token: str
    user_id: str


def register_jwt_client(world: World, client_id: str, public_key_pem: str) -> None:
    """Register the connected app of the JWT bearer grant with its public key or certificate's key (PEM).

    Any active user is pre-authorised for it.
    """
    store.setup(world)
    world.db.execute(
        "INSERT INTO sf_client (client_id, public_key) VALUES (?, ?) ON CONFLICT (client_id) "
        "DO UPDATE SET public_key = excluded.public_key",
        (client_id, public_key_pem),
    )


def set_password(world: World, username: str, password: str) -> None:
    """Set the password (with the security token appended, as it is sent) of a user for password logins."""
    store.setup(world)
    world.db.execute("INSERT OR REPLACE INTO sf_login VALUES (?, ?)", (username, password))


def grant(world: World, form: dict[str, str], audience: str) -> Session:
    """Answer a token request.

    Args:
        world: the sandbox.
        form: parameters of the request; client id and secret of Basic authentication are already among them.
        audience: the server's own origin, which a JWT may name.

    Raises:
        LoginRefused: with the error codes of the real endpoint.
    """
    match form.get("grant_type"):
        case "client_credentials":
            return _client_credentials(world, form)
        case "password":
            _client(world, form)
            return login(world, form.get("username", ""), form.get("password", ""), form["client_id"])
        case g if g == JWT_GRANT:
            return _jwt(world, form.get("assertion", ""), audience)
    raise LoginRefused("unsupported_grant_type", "grant type not supported")


def login(world: World, username: str, password: str, client_id: str = "") -> Session:
    """Log a user in by password.

    Raises:
        LoginRefused: ``invalid_grant``.
    """
    found = world.db.execute("SELECT password FROM sf_login WHERE username = ?", (username,)).fetchone()
    if found is None or not _equal(str(found[0]), password):
        raise LoginRefused("invalid_grant", "authentication failure")
    return _issue(world, _user(world, username), client_id)


def session(world: World, token: str) -> Session | None:
    """The session of an access token, or ``None`` when it is unknown or was idle for too long.

    The setting ``sf_session_seconds`` (7,200) is the idle time after which a session ends.
    """
    found = world.db.execute("SELECT user_id, used_ms FROM sf_token WHERE token = ?", (token,)).fetchone()
    if found is None:
        return None
    lifetime = int(float(world.settings.get("sf_session_seconds", 7200)) * 1000)
    now = world.clock.now_ms()
    if now - found[1] >= lifetime:
        return None
    if now - found[1] > lifetime // 10:
        world.db.execute("UPDATE sf_token SET used_ms = ? WHERE token = ?", (now, token))
    return Session(token, found[0])


def revoke_all(world: World) -> None:
    """End every session, as an administrator or a password change does."""
    world.db.execute("DELETE FROM sf_token")


def _client(world: World, form: dict[str, str]) -> Any:
    found = world.db.execute(
        "SELECT * FROM sf_client WHERE client_id = ?", (form.get("client_id", ""),)
    ).fetchone()
    if found is None or found["secret"] is None:
        raise LoginRefused("invalid_client_id", "client identifier invalid")
    if not _equal(found["secret"], form.get("client_secret", "")):
        raise LoginRefused("invalid_client", "invalid client credentials")
    return found


def _client_credentials(world: World, form: dict[str, str]) -> Session:
    client = _client(world, form)
    if not client["run_as"]:
        raise LoginRefused("invalid_grant", "no client credentials user enabled")
    return _issue(world, client["run_as"], client["client_id"])


def _jwt(world: World, assertion: str, audience: str) -> Session:
    try:
        issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss", "")
    except jwt.PyJWTError:
        raise LoginRefused("invalid_grant", "invalid assertion") from None
    found = world.db.execute("SELECT public_key FROM sf_client WHERE client_id = ?", (issuer,)).fetchone()
    if found is None or found[0] is None:
        raise LoginRefused("invalid_client_id", "client identifier invalid")
    # Expiry is checked against the sandbox's own clock, which tests move.
    try:
        claims = jwt.decode(
            assertion,
            found[0],
            algorithms=["RS256"],
            audience=[*AUDIENCES, audience, audience + "/services/oauth2/token"],
            options={"verify_exp": False, "require": ["iss", "sub", "aud", "exp"]},
        )
    except jwt.InvalidAudienceError:
        raise LoginRefused("invalid_grant", "audience is invalid") from None
    except jwt.InvalidSignatureError:
        raise LoginRefused("invalid_grant", "invalid assertion") from None
    except jwt.PyJWTError:
        raise LoginRefused("invalid_grant", "invalid assertion") from None
    now = world.clock.now_ms() / 1000
    expires = float(claims["exp"])
    if expires < now or expires > now + 600:
        raise LoginRefused("invalid_grant", "expired authorization code")
    return _issue(world, _user(world, str(claims["sub"])), issuer)


def _user(world: World, username: str) -> str:
    found = world.db.execute(
        "SELECT Id, IsActive FROM sf_User WHERE Username = ? COLLATE NOCASE", (username,)
    ).fetchone()
    if found is None:
        raise LoginRefused("invalid_grant", "user hasn't approved this consumer")
    if not found[1]:
        raise LoginRefused("inactive_user", "user is inactive")
    return str(found[0])


def _issue(world: World, user_id: str, client_id: str) -> Session:
    token = f"{store.organization_id(world)[:15]}!AQ{secrets.token_urlsafe(60)}"
    world.db.execute(
        "INSERT INTO sf_token VALUES (?, ?, ?, ?)", (token, user_id, client_id, world.clock.now_ms())
    )
    world.counters["salesforce.logins"] += 1
    return Session(token, user_id)


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
