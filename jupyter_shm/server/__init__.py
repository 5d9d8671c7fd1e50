"""The Jupyter Server extension: REST and one websocket, by which pages see the store and change it.

It runs where JupyterLab does, which may be another environment than the kernels'.  It never starts a store, reads no
object, and never blocks the server's loop: whatever may wait does so in a thread.
"""
