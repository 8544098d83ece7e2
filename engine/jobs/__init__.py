"""When things run: schedules, the queue of mailboxes, fairness, run history.

It must not know a provider or a screen.
"""
