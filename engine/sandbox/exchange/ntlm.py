"""NTLMv2 as a server speaks it ([MS-NLMP]): the challenge, and the check of a client's answer to it."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass

from engine.sandbox.exchange.md4 import md4, rc4

_SIGNATURE = b"NTLMSSP\x00"
_UNICODE, _TARGET, _NTLM, _ALWAYS_SIGN = 0x1, 0x4, 0x200, 0x8000
_DOMAIN_TARGET, _EXTENDED, _TARGET_INFO = 0x10000, 0x80000, 0x800000
_VERSION, _STRONG, _KEY_EXCHANGE, _56 = 0x2000000, 0x20000000, 0x40000000, 0x80000000
_SIGN, _SEAL = 0x10, 0x20
_ASKABLE = _ALWAYS_SIGN | _STRONG | _KEY_EXCHANGE | _56 | _SIGN | _SEAL
_EPOCH_1601 = 116_444_736_000_000_000
_HAS_MIC = 0x2


class Refused(Exception):
    """The exchange has failed; the text says why, for tests and logs of the sandbox."""


@dataclass(slots=True)
class Handshake:
    """What a connection remembers between the two steps: the client's and the server's message, the challenge."""

    negotiate: bytes
    challenge_message: bytes
    challenge: bytes


def nt_hash(password: str) -> bytes:
    """NTOWFv1: what a domain controller keeps of a password."""
    return md4(password.encode("utf-16-le"))


def token(header: str) -> bytes:
    """The message in an ``Authorization`` header of scheme NTLM.

    Raises:
        Refused: no NTLM message.
    """
    try:
        raw = base64.b64decode(header.strip().partition(" ")[2], validate=True)
    except binascii.Error:
        raise Refused("not base64") from None
    if raw[:8] != _SIGNATURE or len(raw) < 16:
        raise Refused("not an NTLM message")
    return raw


def kind(message: bytes) -> int:
    """1: the client begins; 3: the client answers the challenge."""
    return int(struct.unpack_from("<I", message, 8)[0])


def challenge(negotiate: bytes, domain: str, host: str, now_ms: int) -> Handshake:
    """The server's challenge to a client that has begun.

    Args:
        negotiate: the client's first message.
        domain: Windows domain of the server.
        host: its NetBIOS name.
        now_ms: epoch milliseconds.
    """
    asked = struct.unpack_from("<I", negotiate, 12)[0]
    flags = (
        _UNICODE | _TARGET | _NTLM | _DOMAIN_TARGET | _EXTENDED | _TARGET_INFO | _VERSION | (asked & _ASKABLE)
    )
    nonce = secrets.token_bytes(8)
    target = domain.encode("utf-16-le")
    filetime = struct.pack("<Q", now_ms * 10_000 + _EPOCH_1601)
    pairs = (
        (2, target),
        (1, host.encode("utf-16-le")),
        (4, f"{domain.lower()}.example".encode("utf-16-le")),
        (3, f"{host.lower()}.{domain.lower()}.example".encode("utf-16-le")),
        (7, filetime),
        (0, b""),
    )
    info = b"".join(struct.pack("<HH", number, len(value)) + value for number, value in pairs)
    offset = 56
    message = (
        _SIGNATURE
        + struct.pack("<IHHII", 2, len(target), len(target), offset, flags)
        + nonce
        + bytes(8)
        + struct.pack("<HHI", len(info), len(info), offset + len(target))
        + bytes((10, 0, 0x61, 0x58, 0, 0, 0, 15))
        + target
        + info
    )
    return Handshake(negotiate, message, nonce)


def _field(message: bytes, at: int) -> bytes:
    length, _, offset = struct.unpack_from("<HHI", message, at)
    if offset + length > len(message):
        raise Refused("a field lies outside of the message")
    return message[offset : offset + length]


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")


def verify(shake: Handshake, answer: bytes, hash_of: Callable[[str, str], bytes | None]) -> tuple[str, str]:
    """Check the client's answer (NTLMv2 only; the weaker ones are refused, as a hardened server does).

    Args:
        shake: what was said before on this connection.
        answer: the client's third message.
        hash_of: gives the NT hash of (user, domain), or None.

    Returns:
        User and domain as the client wrote them.

    Raises:
        Refused: unknown user, wrong password, or a message that was changed on its way.
    """
    if len(answer) < 64:
        raise Refused("too short")
    response, domain, user = _field(answer, 20), _field(answer, 28), _field(answer, 36)
    flags = struct.unpack_from("<I", answer, 60)[0]
    coding = "utf-16-le" if flags & _UNICODE else "cp1252"
    try:
        name, realm = user.decode(coding), domain.decode(coding)
    except UnicodeDecodeError:
        raise Refused("the name is no text") from None
    if not name:
        raise Refused("anonymous")
    if len(response) <= 24:
        raise Refused("NTLMv1 is not allowed")
    known = hash_of(name, realm)
    if known is None:
        raise Refused("unknown user")
    key = _hmac(known, (name.upper() + realm).encode("utf-16-le"))
    proof, blob = response[:16], response[16:]
    if not hmac.compare_digest(proof, _hmac(key, shake.challenge + blob)):
        raise Refused("wrong password")
    if _promises_mic(blob):
        session = _hmac(key, proof)
        if flags & _KEY_EXCHANGE:
            session = rc4(session, _field(answer, 52))
        blank = answer[:72] + bytes(16) + answer[88:]
        if not hmac.compare_digest(
            answer[72:88], _hmac(session, shake.negotiate + shake.challenge_message + blank)
        ):
            raise Refused("the message integrity code is wrong")
    return name, realm


def _promises_mic(blob: bytes) -> bool:
    at = 28
    while at + 4 <= len(blob):
        number, length = struct.unpack_from("<HH", blob, at)
        if number == 0:
            return False
        if number == 6 and length == 4:
            return bool(struct.unpack_from("<I", blob, at + 4)[0] & _HAS_MIC)
        at += 4 + length
    return False
