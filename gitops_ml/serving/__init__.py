"""The model server, its probe and the build contexts of their images.

All but `context` and `archive` runs inside containers, beside a model that is hostile until proven otherwise. Of
gitops-ml these files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 5
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "3ce0b898e9985f5692979cdb231297026ee57837abf8292ae44f82b5294873a0"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
