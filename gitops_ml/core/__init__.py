"""The pure core: no I/O, no clock, no SDK. Values in, decisions out."""
