"""Sets the server up in the clients people use: their configuration files and their install links."""
