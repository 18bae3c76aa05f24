"""How the procedures are done: tools that make several reads for one answer, and change nothing."""
