"""The cycle: observe, reconcile, guard, apply, settle, recover, verify.

It must not know a screen, a provider's name or a schedule.
"""
