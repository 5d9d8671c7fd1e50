"""The client: connection, leases, views, references, and the store that users see.  Never imports the store's side."""

from ..linux.requirement import require_linux

# Here, and again when a store is opened: on another system the rest of this floor cannot even be imported.
require_linux()
