"""Ways in which sync tools have failed their users, by number; each is a story that must end well here.

``test_every_case`` has the list, and says which cannot happen on today's providers.
"""
