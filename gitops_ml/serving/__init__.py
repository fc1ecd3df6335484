"""The model server, its probe and the build contexts of their images.

All but `context` and `archive` runs inside containers, beside a model that is hostile until proven otherwise. Of
gitops-ml these files import only `errors` and `artifacts`; this file imports nothing.
"""

SERVING_VERSION = 4
"""Part of every generation's fingerprint: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to the value that the failing test prints.
"""

SERVING_SOURCE = "5af795c2ee5e32c64354a20f7d264478684525f9b6977f7ce40301f966d2e909"
"""SHA-256 over the files of the runtime image, part of its key; a test compares it with the files."""
