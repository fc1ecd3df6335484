"""Carrying a plan out: one action after the other, each deployment inside its own boundary."""
