"""Object to meta and buffers, and back.  No I/O here, and nothing is known of heaps, slots or sockets.

``pack`` says what bytes an object has and where they lie now; whoever calls it copies them.
``unpack`` builds the object over bytes that somebody else keeps alive.
"""
