"""Ways in which sync tools have failed their users, by number; each is a story that must end well here.

The numbers 12 (immutable ids that move from folder to folder), 13 (a windowed delta that reports what is outside
the window as deleted) and 14 (a calendar view of bare occurrences) belong to Exchange and Microsoft Graph alone:
no feed of Salesforce or Google can show them.
"""
