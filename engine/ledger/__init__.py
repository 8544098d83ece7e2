"""The ledger: what was seen on both sides, what both agreed on, what is being written. SQL is here and nowhere else.

It must not know a provider, the network, the policy's meaning or a screen.
"""
