"""The model server, its probe and the build contexts of their images.

All but `building` runs inside containers, beside a model that is hostile until proven otherwise. Of gitops-ml these
files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 6
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "2cb6c6221c25f18cd419a25460d833c20d76e8dabe7b26cf8e664c3de824cbba"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
