"""Google Workspace as a loopback server: OAuth, Calendar, People, Tasks and Gmail, written from the discovery documents."""
