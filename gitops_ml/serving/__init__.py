"""The model server, its probe and the build contexts of their images.

All but `building` runs inside containers, beside a model that is hostile until proven otherwise. Of gitops-ml these
files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 5
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "00d196ada7c2e257ee31ea3e623ae8b23f9cc4b97b31d6d7ea77331d342793b2"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
