"""What one looks at: the state of a store as JSON (feed), followed in a thread (follower), and the widget (widget).

Nothing is imported here: who wants the feed does not pay for ipywidgets.
"""
