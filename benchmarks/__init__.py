"""What Syncline costs, measured: ``python -m benchmarks``. Drives the engine's rooms against the sandbox over loopback.

It must not change the engine, nor be imported by it.
"""
