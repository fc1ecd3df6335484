"""The model server, its probe and the build contexts of their images.

All but `building` runs inside containers, beside a model that is hostile until proven otherwise. Of gitops-ml these
files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 7
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "0fd087fb0c04f9709369b42752fae3804560b273a8615311488336b7d2437b54"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
