"""The circle's other half: is the data still good, what would a new model be worth, and is it told apart from the old?

It runs where pipelines run, in CI or at a desk, never on the agent's host: nothing that reconciles imports it.
"""
