"""The durable queue: the only room that changes a state.

One function is one verb and one transaction. A verb gets the clock as an argument and reads it
once, when it holds the write
lock: so the order of times is the order in which the database took the changes.
"""
