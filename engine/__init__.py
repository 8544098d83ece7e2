"""Syncline's engine: everything that synchronises a CRM with mailboxes, without a screen.

It must not know textual, rich or anything of ``tui``; the screens reach it through ``engine.service`` alone.
"""
