"""The model server, its probe and the build contexts of their images.

Everything here but `context` runs inside containers, next to a model that is hostile until proven otherwise.
So it imports nothing of ours but `gitops_ml.errors`, and this file imports nothing at all.
"""

SERVING_VERSION = 4
"""Part of every generation's fingerprint and of the runtime image's key: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to what the failing test prints.
"""

SERVING_SOURCE = "a1c6de811692733c3bb279354e9d1fc9fbc85d9c33593c9a2852476c2f3a1962"
"""SHA-256 over the files that go into the runtime image, as they were when SERVING_VERSION was last
raised."""
