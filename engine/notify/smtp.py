"""Handing mails to a mail server over SMTP (aiosmtplib), and testing that it would take them.

A server-wide fault (no connection, no TLS, a refused login) is told apart from one of a single mail, since the first concerns
all that wait. Exactly once is as far as SMTP allows: when the line breaks after the mail was handed over and before the
server's answer came, it may or may not have it; such a mail is sent again with the same Message-ID, by which mailbox
servers and programs recognise the second copy.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosmtplib

from engine.model.port import Finding
from engine.model.setup import Security, Smtp
from engine.notify.compose import Letter, is_ascii, wire

#: What is shown of a server's own words, characters.
_ECHO = 200


class ServerFault(Exception):
    """The server takes no mail at all now. The text says why and what to do, and holds no secret."""


class MailFault(Exception):
    """The server does not take this mail, or not now.

    Attributes:
        permanent: the server will refuse it again (5xx), unless somebody changes something.
    """

    def __init__(self, text: str, *, permanent: bool) -> None:
        super().__init__(text)
        self.permanent = permanent


def password(smtp: Smtp) -> str:
    """The password, read anew each time so that a changed one is used.

    Raises:
        ServerFault: it is not where the configuration says.
    """
    if smtp.password_env:
        found = os.environ.get(smtp.password_env, "")
        if not found:
            raise ServerFault(
                f"the environment variable {smtp.password_env} (smtp.password_env) is not set; set it for the engine"
            )
        return found
    if not smtp.password_file:
        return ""
    try:
        found = Path(smtp.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ServerFault(
            f"cannot read {smtp.password_file} (smtp.password_file): {error.strerror}; make it readable for the engine"
        ) from None
    except UnicodeDecodeError:
        raise ServerFault(f"{smtp.password_file} (smtp.password_file) is not a text file") from None
    if not found:
        raise ServerFault(f"{smtp.password_file} (smtp.password_file) is empty; write the password into it")
    return found


def _tls(smtp: Smtp) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if smtp.ca_file:
            context.load_verify_locations(smtp.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ServerFault(f"cannot use {smtp.ca_file} (smtp.ca_file): {error}") from None
    return context


class Session:
    """An open, logged-in connection to the mail server."""

    def __init__(self, client: aiosmtplib.SMTP, smtp: Smtp, secret: str) -> None:
        self._client = client
        self._smtp = smtp
        self._secret = secret

    async def send(self, letter: Letter) -> str:
        """Hand one mail over. Returns what the server said.

        Raises:
            MailFault: the server refused it.
            ServerFault: the line broke; whether the server has the mail is not known.
        """
        sender = self._smtp.sender
        options = []
        if not is_ascii(letter, sender):
            if not self._client.supports_extension("smtputf8"):
                raise MailFault(
                    "the mail server cannot send to an address with other than ASCII letters (no SMTPUTF8)",
                    permanent=True,
                )
            options.append("SMTPUTF8")
        try:
            _, said = await self._client.sendmail(
                sender, [letter.address], wire(letter, sender), mail_options=options
            )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            raise self._refused("the recipient", refused.recipients[0]) from None
        except aiosmtplib.SMTPSenderRefused as refused:
            raise self._refused(f"the sender {sender}", refused) from None
        except aiosmtplib.SMTPResponseException as refused:
            raise self._refused("the mail", refused) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise ServerFault(self._said(f"the connection broke: {error}")) from None
        return self._said(said)

    def _refused(
        self,
        what: str,
        refused: aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientRefused,
    ) -> MailFault:
        text = f"the mail server refused {what}: {refused.code} {refused.message}"
        return MailFault(self._said(text), permanent=refused.code >= 500)

    def _said(self, text: str) -> str:
        return said(text, self._secret)


def said(text: str, secret: str) -> str:
    """A server's words as they may be shown: one line, short, without the password should it repeat it."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if secret:
        line = line.replace(secret, "(hidden)")
    return line if len(line) <= _ECHO else line[: _ECHO - 1] + "…"


@asynccontextmanager
async def session(smtp: Smtp) -> AsyncIterator[Session]:
    """Connect, protect the line, log in; and say goodbye at the end.

    Raises:
        ServerFault: one of these failed.
    """
    secret = password(smtp)
    place = f"{smtp.host}:{smtp.port}"
    client = aiosmtplib.SMTP(
        hostname=smtp.host,
        port=smtp.port,
        timeout=smtp.timeout,
        use_tls=smtp.security is Security.TLS,
        start_tls=False,
        tls_context=None if smtp.security is Security.NONE else _tls(smtp),
    )
    try:
        try:
            await client.connect()
        except ssl.SSLCertVerificationError as error:
            raise ServerFault(_certificate(place, error)) from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLCertVerificationError) else None
            if cause is not None:
                raise ServerFault(_certificate(place, cause)) from None
            raise ServerFault(
                said(
                    f"cannot connect to {place}: {error}; check smtp.host, smtp.port and smtp.security", secret
                )
            ) from None
        if smtp.security is Security.STARTTLS:
            await _start_tls(client, place, secret)
        if smtp.username:
            await _login(client, smtp, place, secret)
        await _greet(client, place, secret)
        yield Session(client, smtp, secret)
    finally:
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await client.quit()
        client.close()


async def _greet(client: aiosmtplib.SMTP, place: str, secret: str) -> None:
    """Learn what the server can do, which it says once the line is protected."""
    try:
        if not client.is_ehlo_or_helo_needed:
            return
        await client.ehlo()
    except aiosmtplib.SMTPHeloError:
        return  # a server without extensions takes mails all the same
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise ServerFault(said(f"{place} broke off: {error}", secret)) from None


async def _start_tls(client: aiosmtplib.SMTP, place: str, secret: str) -> None:
    try:
        await client.starttls()
    except ssl.SSLCertVerificationError as error:
        raise ServerFault(_certificate(place, error)) from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise ServerFault(_certificate(place, error.__cause__)) from None
        text = f"{place} does not agree to STARTTLS: {error}; nothing is sent in the clear. See smtp.security"
        raise ServerFault(said(text, secret)) from None


async def _login(client: aiosmtplib.SMTP, smtp: Smtp, place: str, secret: str) -> None:
    try:
        await client.login(smtp.username, secret)
    except aiosmtplib.SMTPAuthenticationError as error:
        text = f"{place} refuses the login of {smtp.username}: {error.code} {error.message}"
        raise ServerFault(
            said(text, secret) + "; check smtp.username and the password that smtp names"
        ) from None
    except aiosmtplib.SMTPNotSupported:
        raise ServerFault(
            f"{place} offers no login that we know; leave smtp.username out for a relay"
        ) from None
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise ServerFault(said(f"the login at {place} failed: {error}", secret)) from None


def _certificate(place: str, error: ssl.SSLCertVerificationError) -> str:
    why = error.verify_message or "it is not valid"
    return f"the certificate of {place} is not trusted: {why}; name its authority in smtp.ca_file, or its right name in smtp.host"


async def check(smtp: Smtp) -> list[Finding]:
    """What ``doctor`` tests: connection, TLS, login. Sends nothing."""
    place = f"{smtp.host}:{smtp.port}"
    how = {Security.STARTTLS: "STARTTLS", Security.TLS: "TLS", Security.NONE: "no TLS"}[smtp.security]
    try:
        async with session(smtp):
            login = f"logged in as {smtp.username}" if smtp.username else "no login asked for"
            return [Finding(True, "mail server", f"{place}, {how}, {login}")]
    except ServerFault as fault:
        text, _, advice = str(fault).partition("; ")
        return [Finding(False, "mail server", text, advice[:1].upper() + advice[1:])]
