"""`python -m gitops_ml`: the command line, where its script is not on the path."""

from gitops_ml.cli.main import main

main()
