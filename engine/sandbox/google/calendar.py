"""Calendar API: which handler answers which method."""

from __future__ import annotations

from engine.sandbox.google import calendar_lists as lists
from engine.sandbox.google import calendar_read as read
from engine.sandbox.google import calendar_store as store
from engine.sandbox.google import calendar_watch as watch
from engine.sandbox.google import calendar_write as write
from engine.sandbox.google.call import Handler
from engine.sandbox.kit.world import World


def setup(world: World) -> None:
    """The tables of the API."""
    store.setup(world)
    watch.setup(world)


HANDLERS: dict[str, Handler] = {
    "calendar.events.get": read.get,
    "calendar.events.list": read.list_,
    "calendar.events.instances": read.instances,
    "calendar.events.insert": write.insert,
    "calendar.events.import": write.import_,
    "calendar.events.patch": write.patch,
    "calendar.events.update": write.update,
    "calendar.events.delete": write.delete,
    "calendar.events.move": write.move,
    "calendar.events.watch": watch.watch,
    "calendar.channels.stop": watch.stop,
    "calendar.calendars.get": lists.get_calendar,
    "calendar.calendars.insert": lists.insert_calendar,
    "calendar.calendars.patch": lists.patch_calendar,
    "calendar.calendars.update": lists.update_calendar,
    "calendar.calendars.delete": lists.delete_calendar,
    "calendar.calendars.clear": lists.clear_calendar,
    "calendar.calendarList.get": lists.get_entry,
    "calendar.calendarList.list": lists.list_entries,
    "calendar.calendarList.insert": lists.insert_entry,
    "calendar.calendarList.patch": lists.patch_entry,
    "calendar.calendarList.update": lists.update_entry,
    "calendar.calendarList.delete": lists.delete_entry,
    "calendar.colors.get": lists.colors,
    "calendar.settings.list": lists.list_settings,
    "calendar.settings.get": lists.get_setting,
}
"""Handlers by discovery method id. Not served: acl, watches of other resources than events, freebusy, quickAdd, transferOwnership."""
