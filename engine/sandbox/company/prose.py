"""Texts for notes and descriptions: short ones, lists, HTML, emoji, several scripts in one, and very long ones."""

from __future__ import annotations

from random import Random

LONG_NAME_PART = "Wolfeschlegelsteinhausenbergerdorff"

_SHORT = (
    "Call back next week.",
    "Asked for the price list (v2) & terms <net 30>.",
    "Key contact for the renewal — don't lose her!",
    "Prefers WhatsApp 📱 over e-mail.",
    "🎂 sends cake every year 🍰",
    'Said: "we will decide after the 1st of March".',
    "Line one\r\nLine two\r\n\r\nLine four after an empty one",
    "Tab\tseparated\tvalues, and a trailing space ",
    "Ελληνικά, русский, العربية, עברית, 日本語, 中文, 한국어, ไทย, हिन्दी in one note",
    "https://intranet.acme.example/wiki/Visit_report?id=42&lang=en#top",
)

_HTML = (
    "<p>Dear team,</p><ul><li>price: <b>1.200,00&nbsp;€</b></li><li>delivery: 4&ndash;6 weeks</li></ul>",
    '<div style="color:#c00">URGENT</div><br/>see <a href="https://acme.example/offer?a=1&amp;b=2">offer</a>',
    "<table><tr><td>Item</td><td>Qty</td></tr><tr><td>Widget &lt;A&gt;</td><td>12</td></tr></table>",
)

_SENTENCES = (
    "The meeting started with a review of last quarter. ",
    "Ils demandent une remise de 5 % dès 200 pièces. ",
    "Die Lieferzeit wurde auf sechs Wochen geändert. ",
    "担当者は来月変わります。",
    "Нужно согласовать договор. ",
    "Next step: send the revised offer 📄.\n",
)


def note(dice: Random, greeting: str, *, length: int = 0) -> str:
    """A note: mostly short, often in the contact's language, sometimes HTML; ``length`` characters when given.

    30,000 characters stay below the 32,000 of the CRM's long text.
    """
    if length:
        parts: list[str] = [greeting, "\n"]
        size = 0
        while size < length:
            sentence = dice.choice(_SENTENCES)
            parts.append(sentence)
            size += len(sentence)
        return "".join(parts)[:length].rstrip()
    kind = dice.random()
    if kind < 0.45:
        return greeting
    if kind < 0.65:
        return f"{greeting}\n{dice.choice(_SHORT)}"
    if kind < 0.92:
        return dice.choice(_SHORT)
    return dice.choice(_HTML)
