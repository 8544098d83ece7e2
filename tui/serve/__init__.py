"""The engine without a terminal, and those who come to it: command lines and, each in an app of its own, admins.

It must not know a connector, the ledger or the cycle; and it never gives a terminal to Textual's own driver.
"""
