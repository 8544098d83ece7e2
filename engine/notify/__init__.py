"""Failure mails: what they say, and how one is handed to a mail server.

It must not know the ledger, the store of the screens, or when a mail is due: ``engine.runtime.mailman`` writes mails ahead, sends
them and notes what became of them.
"""
