"""The values everything else speaks in: items in canonical form, policies, users, states, the provider port.

It must not know a provider, a database, the network, the clock or any other room of the engine.
"""
