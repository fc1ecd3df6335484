"""The command line. Its modules import what they need when a command runs, so that `--help` stays quick."""
