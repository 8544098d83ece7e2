"""Forms over the engine's settings tables: what is typed, what is wrong with it, what has changed.

They must not know a setting by name, so that a new setting or kind of connection needs nothing here.
"""
