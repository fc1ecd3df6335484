"""Commands of the DVC stages: from raw tables to a model artifact that can be served, each usable alone.

They work for any tabular data and are driven by params.yaml. Users may write their own commands instead, as long as
these write the same model artifact. Of gitops-ml they import only `errors`, `suggest`, `artifacts` and `saving`: a
pipeline runs where the data is, which is seldom where models are served.
"""
