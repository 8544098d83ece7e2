"""The network: one transport over httpx, tokens, quotas, adaptive lanes, and what an error means.

It must not know a provider's objects, the ledger or the policy.
"""
