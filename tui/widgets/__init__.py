"""The parts screens are made of: lines, tables and panels that paint straight from the store.

They must not know a command, a provider or another screen.
"""
