"""What turns the rooms into one running engine: connectors in use, rows from the ledger, the loops that keep time.

It must not know a screen. ``engine.service`` is its only user.
"""
