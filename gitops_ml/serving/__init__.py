"""The model server, its probe and the build contexts of their images.

Everything here but `context` runs inside containers, next to a model that is hostile until proven otherwise.
So it imports nothing of ours but `gitops_ml.errors`, and this file imports nothing at all.
"""

SERVING_VERSION = 4
"""Part of every generation's fingerprint and of the runtime image's key: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to what the failing test prints.
"""

SERVING_SOURCE = "7dc4591b55ed75891145892531153b35812408d761fc6b9ccdff5e6f8e39d10c"
"""SHA-256 over the files that go into the runtime image, as they were when SERVING_VERSION was last
raised."""
