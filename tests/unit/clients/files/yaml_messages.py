"""What a user reads about a file `m.yaml` that is wrong."""

from __future__ import annotations

import pytest

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.errors import InputError

BASE = "schema: 1\nmodel: churn\nversion: v1.0.0\n"
EDIT = "\n  fix: edit m.yaml"


def message(text: str | bytes, kind: type = Deployment) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InputError) as caught:
        parse(data, "m.yaml", kind)
    return str(caught.value)
