"""Tasks on processes of this machine: which are ready, who runs them, and what comes back.

Everything here is imported when the first task is submitted, and not before: loky and multiprocessing come with it.
"""
