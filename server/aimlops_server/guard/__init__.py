"""Between a change and the wire: what will be sent is planned, shown to a person, and sent once if they agree."""
