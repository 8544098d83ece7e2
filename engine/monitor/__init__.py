"""The monitor: a store of plain rows that screens pull from, fed by the activities of the cycles.

It must not know the ledger's tables, a connector or a screen.
"""
