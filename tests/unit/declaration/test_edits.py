"""The edit of a declaration to another version: its path, its text and its commit's message."""

from __future__ import annotations

import pytest

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.edits import bump_message, bumped, declaration_path, new_declaration
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.errors import InputError

DIGEST = "md5:" + "a" * 32


def test_the_path_of_a_declaration() -> None:
    assert declaration_path("dev", "flight-delay") == "environments/dev/models/flight-delay.yaml"
    for environment, deployment in (("..", "m"), ("dev", "../../x"), ("dev", "M"), ("dev", ""), ("dev", "a" * 41)):
        with pytest.raises(InputError, match="DNS label"):
            declaration_path(environment, deployment)


def test_a_new_declaration_is_valid() -> None:
    read = parse(new_declaration("flight-delay", "v1.0.0", DIGEST).encode(), "x.yaml", Deployment)
    assert (read.model, read.version, read.digest) == ("flight-delay", "v1.0.0", DIGEST)
    assert bumped("v1.0.0", DIGEST) == {"version": "v1.0.0", "digest": DIGEST}


@pytest.mark.parametrize("model", ["FraudModel", "nlp/spam", "a/b:C_d", "no", "ON", "123", "1e5", "null", "0x1F", "12"])
@pytest.mark.parametrize("version", ["1234567", "12e4567", "v1.0.0-rc.1+b", "it's", "#1", "a: b", "yes"])
def test_a_new_declaration_says_what_it_was_given(model: str, version: str) -> None:
    read = parse(new_declaration(model, version, DIGEST).encode(), "x.yaml", Deployment)
    assert (read.model, read.version) == (model, version)


def test_a_name_that_a_deployment_cannot_have_comes_with_one_that_it_can() -> None:
    with pytest.raises(InputError) as caught:
        declaration_path("dev", "nlp:Fraud_Model")
    assert caught.value.fix == "write nlp-fraud-model, and --model nlp:Fraud_Model for the model"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (None, "v1.0.0", "Deploy m v1.0.0 to dev\n"),
        ("v1.0.0", "v1.1.0", "Bump m in dev from v1.0.0 to v1.1.0\n"),
        ("v1.0.0", "v1.0.0", "Pin what m v1.0.0 holds in dev\n"),
    ],
)
def test_the_message_of_a_bump_commit(before: str | None, after: str, message: str) -> None:
    assert bump_message("dev", "m", before, after) == message


def test_a_host_has_no_declarations_of_its_own() -> None:
    with pytest.raises(InputError) as caught:
        declaration_path("edge@leeds", "churn")
    assert (caught.value.why, caught.value.fix) == ("all hosts of edge share them", "write edge")
