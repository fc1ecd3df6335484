"""What is decided, apart from where it is read and done: no I/O, no clock, no SDK."""
