"""DVC stage commands: from raw tables to a model artifact that can be served, each usable alone.

They are general for tabular data and driven by params.yaml; users may put their own commands in their place, as long as
those leave the same model artifact behind. Nothing here imports the rest of gitops-ml, except its errors: a pipeline
runs where data is, which is seldom where models are served.
"""
