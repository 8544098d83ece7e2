"""Microsoft Exchange on the premises, over EWS, behind the mailbox port: calendar, contacts, tasks and drop folders.

It must not know the ledger, the policy or a CRM; exchangelib is imported at first use only (0.6 s and 48 MB).
"""
