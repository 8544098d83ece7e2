"""The long proofs: what they came to stands in docs/reliability.json, and on the page that is made from it.

It must not know how a proof works: each writes its own figures as JSON.
"""
