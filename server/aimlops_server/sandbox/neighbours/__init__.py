"""The services around the product, as far as their look-ups go: what the account has there, and how they list it."""
