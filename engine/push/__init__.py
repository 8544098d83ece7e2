"""Where providers tell of changes by themselves: the HTTP listener, and what their notifications say.

A room of its own beside the connectors: it serves HTTP where these send it, it runs once for all connections, and it is the only
place that strangers can reach. It must not know the ledger, the queue or a connector: a notification becomes one call of what
``engine.runtime.pushing`` gives to it, and nothing of its body goes further than an id, a watermark and "something changed".
"""
