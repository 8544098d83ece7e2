"""The APIs as google-api-python-client describes them, built once from its static discovery documents.

``service.events()`` costs 2 to 3 ms at each call (providers.md section 2), so collections are made once and kept:
``Collection`` turns ``client.gmail.users.labels.create(...)`` into cached attribute look-ups.
"""

from __future__ import annotations

from typing import Any

from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc

from engine.mailbox.google.settings import Api

_DOCUMENTS: dict[Api, tuple[str, str]] = {
    Api.CALENDAR: ("calendar", "v3"),
    Api.PEOPLE: ("people", "v1"),
    Api.TASKS: ("tasks", "v1"),
    Api.GMAIL: ("gmail", "v1"),
}


class Collection:
    """A resource whose sub-collections and methods are attributes; methods return ``HttpRequest`` unsent."""

    def __init__(self, resource: Any, description: dict[str, Any]) -> None:
        self._resource = resource
        self._description = description

    def __getattr__(self, name: str) -> Any:
        """A sub-collection or a method; kept from then on.

        Raises:
            AttributeError: the API has no such collection or method.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        member = getattr(self._resource, name)
        nested = self._description.get("resources", {}).get(name)
        value: Any = Collection(member(), nested) if nested is not None else member
        self.__dict__[name] = value
        return value


def build_service(api: Api, endpoint: str) -> Collection:
    """One API rooted at ``endpoint`` (with a closing slash), without network and without credentials."""
    document = get_static_doc(*_DOCUMENTS[api])
    # http=object(): requests are executed by our own transport, so the library must not look for credentials.
    service = build_from_document(document, http=object(), client_options={"api_endpoint": endpoint})
    return Collection(service, service._resourceDesc)
