"""A faithful offline simulator of the AI&MLOps Platform API: the whole service in memory, or on a loopback port.

Knows the declared operations and what is known of the service's behaviour; knows nothing of the client that calls it.
"""
