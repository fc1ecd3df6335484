"""The model server, its probe and the build contexts of their images.

All but `building` runs inside containers, beside a model that is hostile until proven otherwise. Of gitops-ml these
files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 5
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "197d009ee3e4ed32a0e66e3bb7c72c88a7e85d4557c55ef7f679e52b77f5ef35"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
