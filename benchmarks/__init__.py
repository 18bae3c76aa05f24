"""What the server costs, measured beside others in one run: `make bench`. No part of the tests."""
