"""The model server, its probe and the build contexts of their images.

All but `archive`, `context`, `model_layer` and `requirements` runs inside containers, beside a model that is hostile
until proven otherwise. Of gitops-ml these files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 5
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "15b3f5466cc686d1f360ca217250b4cf729135d973fc15e4f9cc80fb01c19b2e"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
