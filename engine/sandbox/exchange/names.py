"""XML namespaces and limits that all of the Exchange sandbox names alike."""

from __future__ import annotations

S = "http://schemas.xmlsoap.org/soap/envelope/"
M = "http://schemas.microsoft.com/exchange/services/2006/messages"
T = "http://schemas.microsoft.com/exchange/services/2006/types"
E = "http://schemas.microsoft.com/exchange/services/2006/errors"

VERSIONS = (
    "Exchange2007",
    "Exchange2007_SP1",
    "Exchange2010",
    "Exchange2010_SP1",
    "Exchange2010_SP2",
    "Exchange2013",
    "Exchange2013_SP1",
    "Exchange2015",
    "Exchange2016",
)
"""Request versions, oldest first."""

BUILDS = {
    "Exchange2010": (14, 0, 639, 21),
    "Exchange2010_SP1": (14, 1, 218, 15),
    "Exchange2010_SP2": (14, 2, 247, 5),
    "Exchange2013": (15, 0, 516, 32),
    "Exchange2013_SP1": (15, 0, 847, 32),
    "Exchange2016": (15, 1, 2507, 39),
}
"""What a server of that version says of itself; those are the versions that the sandbox can be (2019 and SE speak
as 2016 does)."""

SCHEMA_NAMES = {
    "Exchange2010": "Exchange2010",
    "Exchange2010_SP1": "Exchange2010_SP1",
    "Exchange2010_SP2": "Exchange2010_SP2",
    "Exchange2013": "Exchange2013",
    "Exchange2013_SP1": "V2_23",
    "Exchange2016": "V2017_07_11",
}
"""The ``Version`` attribute of the answer's header."""


def t(name: str) -> str:
    """``name`` in the types namespace, in Clark notation."""
    return f"{{{T}}}{name}"


def m(name: str) -> str:
    """``name`` in the messages namespace, in Clark notation."""
    return f"{{{M}}}{name}"


ENDPOINT = "/EWS/Exchange.asmx"
"""Path of the service."""
