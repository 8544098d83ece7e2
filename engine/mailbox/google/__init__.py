"""Google Workspace as a mailbox: contacts, calendar, tasks and labels through the public APIs.

Knows neither ledger nor policy nor clock; whatever it must remember travels in observations and cursors.
"""
