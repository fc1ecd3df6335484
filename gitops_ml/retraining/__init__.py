"""Retraining: checks of the data, comparison of model versions, and a new model that is proposed in Git.

It runs where pipelines run, in CI or at a desk, and never on the agent's host: nothing that reconciles imports it.
"""
