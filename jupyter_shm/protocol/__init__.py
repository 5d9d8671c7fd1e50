"""What client and store say to each other: messages, packets, and which message is legal when.  No I/O here."""
