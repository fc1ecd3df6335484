"""The command line. Its modules import what they need when a command runs, so that `--help` stays quick."""

import gc

# Imports make objects by the ten thousand, nearly all of which stay: looking for waste among them took a tenth of the
# time of a pass with nothing to do.
gc.set_threshold(100_000, 20, 20)
