"""The model server, its probe and the build contexts of their images.

Everything here but `context` runs inside containers, next to a model that is hostile until proven otherwise.
So it imports nothing of ours but `gitops_ml.errors`, and this file imports nothing at all.
"""

SERVING_VERSION = 2
"""Part of every generation's fingerprint and of the runtime image's key: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to what the failing test prints.
"""

SERVING_SOURCE = "c6ea14e243aea5d78e6d458f5fea671629726520dec2edd3ca137a55412a9d46"
"""SHA-256 over the files that go into the runtime image, as they were when SERVING_VERSION was last
raised."""
