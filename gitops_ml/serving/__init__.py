"""The model server, its probe and the build contexts of their images.

Everything here but `context` runs inside containers, next to a model that is hostile until proven otherwise.
So it imports nothing of ours but `gitops_ml.errors`, and this file imports nothing at all.
"""

SERVING_VERSION = 2
"""Part of every generation's fingerprint and of the runtime image's key: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to what the failing test prints.
"""

SERVING_SOURCE = "1d6b97e91d0c722b3bb63faafd6560c152cbc6a01c32284e4b12b632b7e100f0"
"""SHA-256 over the files that go into the runtime image, as they were when SERVING_VERSION was last
raised."""
