"""The Exchange sandbox: Exchange Web Services (SOAP) over mailboxes in SQLite. It must know nothing of the connectors."""
