"""The mailbox side: the port of a mail system and one folder per product behind it.

It must not know the CRM, the ledger, the policy or the clock.
"""
