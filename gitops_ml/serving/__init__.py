"""The model server, its probe and the build contexts of their images.

All but `building` runs inside containers, beside a model that is hostile until proven otherwise. Of gitops-ml these
files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 6
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "6a36663f6f459a63729f34806a808e8f5a0ffc663eb519cada042ae0b8480585"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
