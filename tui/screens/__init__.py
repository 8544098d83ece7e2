"""One file a screen: what is shown, and which command a key sends.

They must not know how the engine does it: rows come from the store, commands go to the façade.
"""
