"""The model server, its probe and the build contexts of their images.

All but `archive`, `context`, `model_layer` and `requirements` runs inside containers, beside a model that is hostile
until proven otherwise. Of gitops-ml these files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 4
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "583afb235e6e741b560ffe1c0f694c07e4911f6244bb82b69909c084985f2227"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
