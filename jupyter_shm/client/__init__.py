"""The client: connection, leases, views, references, and the store that users see.  Never imports the store's side."""
