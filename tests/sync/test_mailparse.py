"""Whatever people and programs send is read, or refused with a reason; nothing crashes and nothing gets through."""

from __future__ import annotations

import base64
import json
import random
from email.message import EmailMessage

import pytest

from engine.model.mail import Sensitivity
from engine.model.modules import Module
from engine.model.policy import Files, MailFiling
from engine.sync.mail_records import fields_of, missing
from engine.sync.mailparse import Limits, Unreadable, addresses, decoded, read_mail, sanitised, sensitivity
from tests.acceptance.mails import letter

LIMITS = Limits()


def read(raw: bytes, limits: Limits = LIMITS) -> object:
    """The mail, which any JSON takes, or the reason why it cannot be read."""
    try:
        mail = read_mail(raw, limits)
    except Unreadable as error:
        return str(error)
    for text in (mail.subject, mail.sender.name, *(one.name for one in mail.attachments)):
        assert "\n" not in text
        assert "\r" not in text
    json.dumps(
        [mail.subject, mail.text, mail.html, mail.message_id, [one.name for one in mail.everybody]]
    ).encode()
    assert "\x00" not in mail.text + mail.html + mail.subject
    return mail


def test_a_mail_without_message_id_is_known_by_its_content() -> None:
    one, same, other = letter("A", identity=None), letter("A", identity=None), letter("B", identity=None)
    assert read_mail(one, LIMITS).message_id == read_mail(b"Received: by x\r\n" + same, LIMITS).message_id
    assert read_mail(one, LIMITS).message_id != read_mail(other, LIMITS).message_id
    assert not read_mail(one, LIMITS).own_id


def test_unknown_and_lying_charsets_are_read_as_well_as_can_be() -> None:
    head = b"Subject: =?x-nothing?Q?caf=C3=A9?= =?utf-8?B?!!!?=\r\nFrom: a@b.example\r\nMessage-ID: <1@x>\r\n"
    for charset in (b"x-unknown", b"ascii", b"base64", b"rot13", b'"', b"utf-16"):
        mail = read_mail(
            head + b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n", LIMITS
        )
        assert mail.text
        assert "café" in mail.subject
    western = read_mail(head + b"Content-Type: text/plain; charset=nope\r\n\r\nGr\xfc\xdfe\r\n", LIMITS)
    assert western.text.strip() == "Grüße"


def test_nothing_is_injected_through_headers_or_names() -> None:
    raw = (
        b"Subject: =?utf-8?Q?Hi=0D=0ABcc:_all@x.example?=\r\n"
        b"From: =?utf-8?Q?Eve=0AX-Evil:_1?= <eve@x.example>\r\nTo: victim@x.example\r\nMessage-ID: <2@x>\r\n"
        b'Content-Type: application/pdf; name="..\\\\..\\\\etc/pass\r\n wd\x00.pdf"\r\n'
        b"Content-Disposition: attachment\r\n\r\nx"
    )
    mail = read_mail(raw, LIMITS)
    assert mail.subject == "Hi Bcc: all@x.example"
    assert mail.sender.name == "Eve X-Evil: 1"
    assert mail.bcc == ()
    assert [one.name for one in mail.attachments] == ["pass wd .pdf"]


def test_mails_within_mails_are_files_until_it_is_too_much() -> None:
    inner = letter("inner")
    for depth in (1, 5, 30, 400, 3000):
        raw = inner
        for number in range(depth):
            raw = (
                f"Subject: level {number}\r\nFrom: a@b.example\r\nMessage-ID: <{number}@x>\r\n"
                "Content-Type: message/rfc822\r\n\r\n".encode()
                + raw
            )
        outcome = read(raw)
        if depth <= 5:
            assert [one.name for one in outcome.attachments] == [
                f"level {depth - 2}.eml" if depth > 1 else "inner.eml"
            ]  # type: ignore[attr-defined]


def test_containers_without_end_are_refused() -> None:
    raw = b"leaf"
    for number in range(200):
        raw = (
            b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (number, number)
            + raw
            + b"\r\n--b%d--" % number
        )
    assert "nested too deeply" in str(read(b"From: a@b.example\r\n" + raw))


def test_five_hundred_recipients_and_a_thirty_megabyte_file() -> None:
    many = ", ".join(f'"Person {number}" <p{number}@many.example>' for number in range(500))
    head = letter("Many", to=many).partition(b"Content-Type")[0]
    # Put together by hand: the library's writer takes twenty seconds for such a file.
    raw = head + (
        b'Content-Type: application/zip; name="big.bin"\r\nContent-Disposition: attachment\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(bytes(30_000_000))
    )
    mail = read_mail(raw, LIMITS)
    assert len(mail.to) == 500
    (file,) = mail.attachments
    assert (file.size, file.data, file.why) == (30_000_000, None, "larger than 25 MB")


def test_html_does_no_harm() -> None:
    page = sanitised(
        '<p onclick="x()">Hi <a href="javascript:alert(1)">there</a><iframe src="//x"></iframe>'
        '<img src="https://t.example/p.gif" alt="pic"><img src="cid:logo"><style>p{}</style>'
        "<form><input></form><svg><script>1</script></svg></p>"
    )
    for evil in ("onclick", "javascript", "iframe", "t.example", "style", "<form", "<input", "script", "svg"):
        assert evil not in page
    assert 'alt="pic"' in page
    assert "cid:logo" in page


def test_a_mail_of_html_alone_has_a_text() -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "x", "a@b.example"
    mail.set_content("<p>One &amp; two</p><div>three<br>four</div>", subtype="html")
    assert read_mail(mail.as_bytes(), LIMITS).text == "One & two\nthree\nfour"


def test_files_are_listed_or_left_out_as_the_policy_says() -> None:
    raw = letter("Files", files=[("a.txt", b"1")])
    assert [one.data for one in read_mail(raw, Limits(Files.LIST)).attachments] == [None]
    assert read_mail(raw, Limits(Files.NONE)).attachments == ()


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("", Sensitivity.NORMAL),
        ("Personal", Sensitivity.PERSONAL),
        ("Private", Sensitivity.PRIVATE),
        ("Company-Confidential", Sensitivity.CONFIDENTIAL),
        ("Geheim", Sensitivity.PRIVATE),
    ],
)
def test_sensitivity(word: str, kind: Sensitivity) -> None:
    assert sensitivity({"sensitivity": word}) is kind


def test_addresses_are_those_that_are_some() -> None:
    found = addresses('undisclosed-recipients:;, "A, B" <a@x.example>, A@X.example, broken@, <c@y.example')
    assert [one.address for one in found][:1] == ["a@x.example"]
    assert len({one.address.casefold() for one in found}) == len(found)
    assert decoded("=?utf-8?q?a=E2=80=AEb?=") == "ab"  # no text that runs backwards


def test_dates_that_are_none_do_not_count() -> None:
    for date in ("yesterday", "Fri, 31 Feb 2026 25:00:00 +9999", "Mon, 01 Jan 9999 00:00:00 +0000", ""):
        mail = read_mail(letter("D", date=date) if date else letter("D", date=""), LIMITS, received_ms=5)
        assert mail.sent_ms == 5


def test_garbage_of_all_kinds() -> None:
    """Mutations of real mails: bytes flipped, cut, doubled, inserted. Seeds, so that what fails once fails again."""
    samples = [
        letter("Sample ä", identity="sample", page="<p>x</p>", files=[("ä.txt", b"abc")]),
        letter("Inner", headers=[("References", "<a@x> <b@y>")]),
        b"",
        b"\n\n\n",
        b"From\n",
        b":" * 1000,
        b"Subject: " + b"=?" * 5000,
        b"To: " + b"<" * 5000 + b"\r\n\r\n",
        b'Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n',
        b"Content-Type: text/plain; charset*0*=x'\xff; charset*1=2\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\nContent-Type: image/png; name*=utf-8''%E4%\r\n\r\n====",
        b"Content-Type: message/partial\r\n\r\nx",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA",
        b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 666 a\n!!!!\nend\n",
    ]
    pieces = [
        b"\x00",
        b"\r\n",
        b"\xff\xfe",
        b"=?utf-8?B?",
        b";charset=",
        b"--",
        b"\n ",
        b"boundary=",
        b"<",
        b"@",
        b"\xed\xa0\x80",
    ]
    for seed in range(500):
        dice = random.Random(seed)
        raw = bytearray(dice.choice(samples))
        for _ in range(dice.randint(1, 12)):
            at = dice.randint(0, len(raw))
            match dice.randint(0, 3):
                case 0:
                    raw[at:at] = dice.choice(pieces)
                case 1:
                    del raw[at : at + dice.randint(1, 40)]
                case 2:
                    raw[at:at] = raw[: dice.randint(0, 200)]
                case _ if at < len(raw):
                    raw[at] = dice.randint(0, 255)
        read(bytes(raw))


def test_a_record_is_made_of_a_mail_by_rules() -> None:
    mail = read_mail(
        letter("AW: Fwd: Need it", sender='"Novak, Lee" <lee@shop.novak-works.co.uk>', text="All of it"), LIMITS
    )
    rules = MailFiling().create
    assert fields_of(rules[Module.LEAD], Module.LEAD, mail, 0) == {
        "given": "Lee", "family": "Novak", "email": "lee@shop.novak-works.co.uk", "company": "Novak Works",
    }  # fmt: skip
    assert fields_of(rules[Module.OPPORTUNITY], Module.OPPORTUNITY, mail, 0)["close_date"] == "1970-01-31"
    assert fields_of(rules[Module.CASE], Module.CASE, mail, 0) == {
        "name": "Need it",
        "description": "All of it",
    }
    assert missing(("family", "company"), {"family": "Novak"}) == ["company"]
