"""One REST call after login, and its answer; composite requests make and answer several of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce.errors import SfError
from engine.sandbox.salesforce.soql_run import Cursors


@dataclass(frozen=True, slots=True)
class Call:
    """A request below ``/services/data/vXX.0/``.

    Attributes:
        world: state, clock, counters.
        cursors: the server's open queries.
        user: id of the running user.
        version: API version of the path, e.g. ``62.0``.
        method: HTTP method, upper case.
        path: what follows the version, without slashes at the ends, percent-decoded.
        params: query parameters.
        body: parsed JSON body, or ``None``.
        headers: request headers, lower-case names.
        used: API calls of the last 24 hours, and the limit.
    """

    world: World
    cursors: Cursors
    user: str
    version: str
    method: str
    path: str
    params: Mapping[str, str]
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    used: tuple[int, int] = (0, 0)

    def mapping(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            SfError: it is none.
        """
        if not isinstance(self.body, dict):
            raise SfError("JSON_PARSER_ERROR", "The HTTP entity body must be a JSON object", 400)
        return self.body

    def flag(self, name: str) -> bool:
        """A boolean query parameter or member of the body."""
        if name in self.params:
            return self.params[name].lower() == "true"
        return bool(isinstance(self.body, dict) and self.body.get(name))


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer; ``body`` ``None`` means no content."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def batch_size(headers: Mapping[str, str]) -> int:
    """Records per page that ``Sforce-Query-Options: batchSize=n`` asks for, within 200 to 2,000."""
    found = re.search(r"batchSize\s*=\s*(\d+)", headers.get("sforce-query-options", ""), re.IGNORECASE)
    return max(200, min(2000, int(found[1]))) if found else 2000
