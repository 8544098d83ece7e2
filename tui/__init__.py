"""The terminal application and the command line.

It must not know a connector, the ledger or the cycle: the engine is ``engine.service`` and the types it returns.
"""
