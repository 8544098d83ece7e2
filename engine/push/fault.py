"""What goes wrong with the listener, for those who need not import its server."""

from __future__ import annotations


class ListenerFault(Exception):
    """The listener cannot listen; the text says why and what to do."""
