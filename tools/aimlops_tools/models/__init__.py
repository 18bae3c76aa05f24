"""The operations, one module per resource of the API."""
