"""The command `doctor`: its checks of this machine, the clone and the engines."""
