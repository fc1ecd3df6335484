"""The model server, its probe and the build contexts of their images.

Everything here but `context` runs inside containers, next to a model that is hostile until proven otherwise.
So it imports nothing of ours but `gitops_ml.errors`, and this file imports nothing at all.
"""

SERVING_VERSION = 4
"""Part of every generation's fingerprint and of the runtime image's key: raising it rolls every deployment.

Raise it when the server's behaviour changes, and set SERVING_SOURCE to what the failing test prints.
"""

SERVING_SOURCE = "65c75de44b7baf2bc8088ee0c26e5315dd0d4aec9cd7ec03d14f3ef015a7a19a"
"""SHA-256 over the files that go into the runtime image, as they were when SERVING_VERSION was last
raised."""
