"""Loopback servers that speak the providers' wire protocols, written from their published contracts, and demo data.

It must not know any connector; nothing of the engine imports it.
"""
