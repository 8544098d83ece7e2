"""A real mail server on loopback (aiosmtpd), which can be told to refuse, to wait and to ask for a login."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PASSWORD = "correct horse battery"


class Post:
    """What the server has taken, and how it answers."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.tls: list[bool] = []
        self.sessions = 0
        self.logins: list[str] = []
        self.reached = asyncio.Event()
        #: The answer to a mail waits for it.
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.arrived = asyncio.Condition()

    async def handle_EHLO(
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, _server: Any, session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        self.tls.append(session.ssl is not None)
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.SMTP)
        for address in envelope.rcpt_tos:
            self.mails.append((address, message))
        self.reached.set()
        async with self.arrived:
            self.arrived.notify_all()
        await self.go_on.wait()
        return "250 OK queued"

    async def until(self, number: int) -> None:
        """Wait until so many mails are there."""
        async with self.arrived, asyncio.timeout(120):
            await self.arrived.wait_for(lambda: len(self.mails) >= number)

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        if data.password.decode() == PASSWORD:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=f"535 no: {data.password.decode()}")


@asynccontextmanager
async def mail_server(
    post: Post, *, port: int = 0, tls: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[int]:
    """Serve; gives the port."""
    open_ones: set[Any] = set()

    def protocol() -> SMTP:
        made = SMTP(
            post,
            hostname="mail.test",
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=login,
            auth_require_tls=tls is not None,
            authenticator=post.authenticate if login else None,
            enable_SMTPUTF8=True,
        )
        open_ones.add(made)
        return made

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in open_ones:
            if one.transport is not None:
                one.transport.abort()
            if one._handler_coroutine is not None:
                one._handler_coroutine.cancel()
                await asyncio.gather(one._handler_coroutine, return_exceptions=True)
        await server.wait_closed()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A context of a server named 127.0.0.1, and the PEM file of its authority (itself)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem, private = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return context, pem
