"""The tests: they drive the real server with a real client, and look at what reached the sandbox's wire."""
