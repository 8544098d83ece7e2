"""The CRM side: the port of a CRM and one folder per product behind it.

It must not know mailboxes, the ledger, the policy or the clock.
"""
