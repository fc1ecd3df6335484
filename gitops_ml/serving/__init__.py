"""The model server, its probe and the build contexts of their images.

All but `building` runs inside containers, beside a model that is hostile until proven otherwise. Of gitops-ml these
files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 7
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "728fa8e49718b19a4e0d5f86503d5a4876aaf48816b8e68a4c7fdeadf537ae7e"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
