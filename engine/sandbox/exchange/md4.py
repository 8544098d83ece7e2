"""MD4 (RFC 1320) and RC4: NTLM needs both, and current builds of OpenSSL have neither."""

from __future__ import annotations

import struct

_ROUNDS = (
    (0, (3, 7, 11, 19), tuple(range(16))),
    (0x5A827999, (3, 5, 9, 13), (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
    (0x6ED9EBA1, (3, 9, 11, 15), (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)),
)
_MASK = 0xFFFFFFFF


def md4(data: bytes) -> bytes:
    """The MD4 digest."""
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    padded = data + b"\x80" + b"\x00" * ((55 - len(data)) % 64) + struct.pack("<Q", 8 * len(data))
    for start in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[start : start + 64])
        a, b, c, d = state
        for number, (constant, shifts, order) in enumerate(_ROUNDS):
            for place, word in enumerate(order):
                if number == 0:
                    mixed = (b & c) | (~b & d)
                elif number == 1:
                    mixed = (b & c) | (b & d) | (c & d)
                else:
                    mixed = b ^ c ^ d
                total = (a + mixed + words[word] + constant) & _MASK
                shift = shifts[place % 4]
                a, b, c, d = d, ((total << shift) | (total >> (32 - shift))) & _MASK, b, c
        state = [(old + new) & _MASK for old, new in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)


def rc4(key: bytes, data: bytes) -> bytes:
    """``data`` encrypted or decrypted by RC4."""
    box = list(range(256))
    other = 0
    for place in range(256):
        other = (other + box[place] + key[place % len(key)]) & 255
        box[place], box[other] = box[other], box[place]
    out = bytearray()
    place = other = 0
    for byte in data:
        place = (place + 1) & 255
        other = (other + box[place]) & 255
        box[place], box[other] = box[other], box[place]
        out.append(byte ^ box[(box[place] + box[other]) & 255])
    return bytes(out)
