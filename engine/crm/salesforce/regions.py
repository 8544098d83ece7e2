"""From a country as people write it to its two-letter code, in which phone numbers are read."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

#: Names that differ from those of the time zone database's country list.
_OTHER_NAMES = {
    "GB": ("united kingdom", "great britain", "uk", "england", "scotland", "wales", "northern ireland"),
    "US": ("usa", "u.s.a.", "u.s.", "united states of america", "estados unidos"),
    "KR": ("south korea", "korea", "republic of korea", "대한민국", "한국"),
    "KP": ("north korea",),
    "CZ": ("czechia", "česko", "česká republika"),
    "NL": ("the netherlands", "holland", "nederland"),
    "AE": ("uae", "الإمارات", "الإمارات العربية المتحدة"),
    "TR": ("turkiye", "türkiye"),
    "RU": ("russian federation", "россия"),
    "VN": ("viet nam", "việt nam"),
    "HK": ("hong kong sar",),
    "BO": ("bolivia, plurinational state of",),
    "MK": ("macedonia", "north macedonia"),
    "DE": ("deutschland", "allemagne", "alemania"),
    "AT": ("österreich",),
    "CH": ("schweiz", "suisse", "svizzera"),
    "BE": ("belgië", "belgique", "belgien"),
    "ES": ("españa",),
    "IT": ("italia", "italien"),
    "FR": ("frankreich", "francia"),
    "BR": ("brasil",),
    "MX": ("méxico",),
    "PL": ("polska",),
    "SE": ("sverige",),
    "NO": ("norge",),
    "DK": ("danmark",),
    "FI": ("suomi",),
    "HU": ("magyarország",),
    "RO": ("românia",),
    "GR": ("ελλάδα", "hellas"),
    "UA": ("україна",),
    "BG": ("българия",),
    "IL": ("ישראל",),
    "EG": ("مصر",),
    "SA": ("السعودية", "المملكة العربية السعودية"),
    "IN": ("भारत",),
    "TH": ("ไทย", "ประเทศไทย"),
    "JP": ("日本",),
    "CN": ("中国", "people's republic of china", "prc"),
    "TW": ("台灣", "台湾"),
}


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    listing = resources.files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text(encoding="utf-8")
    for line in listing.splitlines():
        if line and not line.startswith("#"):
            code, _, name = line.partition("\t")
            names[code.casefold()] = code
            names[name.casefold()] = code
            names[name.partition(" (")[0].casefold()] = names.get(name.partition(" (")[0].casefold(), code)
    for code, others in _OTHER_NAMES.items():
        for other in others:
            names[other.casefold()] = code
    return names


@lru_cache(maxsize=2048)
def region_of(country: str | None) -> str:
    """The ISO 3166 two-letter code of a country's name or code, empty when it is not known."""
    return _names().get(country.strip().casefold(), "") if country else ""
