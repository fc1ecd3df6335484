"""The command line. Its modules import what they need when a command runs, so that `--help` stays quick."""

import atexit
import gc

# Imports make objects by the ten thousand, nearly all of which stay: looking for waste among them took a tenth of the
# time of a pass with nothing to do.
gc.set_threshold(100_000, 20, 20)
# And again at the end, for all of it at once, just before the process goes: what is frozen is not looked at.
atexit.register(gc.freeze)
