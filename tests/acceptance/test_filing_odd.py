"""Mails as nobody should write them, dropped on a record: each is filed or refused with a reason, and the CRM shows which."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.acceptance.desks import OPTIONS, desk
from tests.acceptance.mails import files, letter, messages, opportunity
from tests.acceptance.test_filing import SIZES, check
from tests.acceptance.town import assert_idle, engine, town
from tui.why import explanation_text

#: Bytes of the large attachment, above what the policy stores. Thirty megabytes end alike (tried by hand, at both), at ten times the cost.
SIZE = 3_000_000

MANY = ", ".join(f'"Person {number}" <p{number}@many.example>' for number in range(500))


def head(subject: str) -> bytes:
    """The headers of a mail without those that say what is in it."""
    return letter(subject).partition(b"Content-Type")[0]


def nested(depth: int) -> bytes:
    """A mail within a mail, and so on."""
    inner = letter("The innermost")
    for _ in range(depth):
        inner = b"Content-Type: message/rfc822\r\n\r\n" + inner
    return head("Nested") + inner


def odd_mails(size: int = SIZE) -> dict[str, bytes]:
    """Odd mails that can be filed all the same, by subject."""
    broken = (
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nFirst\r\n--x\r\n'
        b"Content-Type: application/pdf; name=\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!not base64\r\n"
    )
    strange = (
        b"Content-Type: text/plain; charset=x-klingon\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe\r\n"
    )
    injected = letter("Injected").replace(
        b"Subject: Injected", b"Subject: =?utf-8?q?Injected=0D=0ABcc:_victim@evil.example?="
    )
    big = (
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nSee file\r\n--x\r\n'
        b'Content-Type: application/zip; name="big.zip"\r\nContent-Disposition: attachment; filename="big.zip"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(bytes(size)) + b"\r\n--x--\r\n"
    )
    return {
        "Broken": head("Broken") + broken,
        "Nameless": letter("Nameless", identity=None),
        "Many": letter("Many", to=MANY),
        "Strange": head("Strange") + strange,
        "Injected": injected,
        "Big": head("Big") + big,
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("system", ["google", "exchange"])
async def test_odd_mails_are_filed_or_refused_and_none_is_lost(tmp_path: Path, system: str) -> None:
    with town(tmp_path / "town", users=1, sizes=SIZES, options=OPTIONS[system]) as place:
        people = desk(place, system)
        config = people.config("enabled = true\nmail = { attachment_mb = 1 }")
        async with engine(tmp_path, config) as service:
            assert_idle(await service.sync("Demo", "admin"))
            for _ in range(2):
                await check(service)
            user = place.users[0]
            name, drop = sorted(people.records(user).items())[0]
            mails = odd_mails()
            for raw in (*mails.values(), mails["Nameless"], nested(3000)):
                people.drop(user, raw, drop)
            await check(service)

            found = messages(place)
            by_subject = {row["Subject"].partition(" ")[0]: row for row in found}
            assert len(found) == len(by_subject), "a mail stands in the CRM twice"
            assert by_subject.keys() == mails.keys()
            assert {row["RelatedToId"] for row in found} == {opportunity(place, name)}
            assert "First" in by_subject["Broken"]["TextBody"]
            assert by_subject["Strange"]["TextBody"].startswith("Gr")
            assert "p0@many.example" in by_subject["Many"]["ToAddress"]
            assert "\n" not in by_subject["Injected"]["Subject"]
            assert (
                "evil.example"
                not in f"{by_subject['Injected']['ToAddress']} {by_subject['Injected']['CcAddress']}"
            )
            assert "big.zip" in by_subject["Big"]["TextBody"]
            assert files(place, by_subject["Big"]["Id"]) == {}

            rows = await service.filed(user)
            assert len(rows) == len(mails) + 2
            (refused,) = [row for row in rows if row.state == "refused"]
            assert (refused.subject, "nested too deeply" in refused.reason) == ("Nested", True)
            assert {row.state for row in rows} == {"filed", "refused"}
            said = explanation_text(await service.explain(f"mail#{refused.id}"))
            assert f"It was not filed: {refused.reason}." in said
            await check(service)
            assert len(messages(place)) == len(mails)
