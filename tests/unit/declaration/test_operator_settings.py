"""What the host's operator decides, and what a declaration may therefore ask."""

from __future__ import annotations

import pytest

from gitops_ml.core.declaration.checks import Checks, CommandCheck, HttpCheck
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.operator_settings import read_settings, require_permitted
from gitops_ml.errors import InputError


def refusal(deployment: Deployment, **environ: str) -> str:
    try:
        require_permitted("churn", deployment, read_settings(environ))
    except InputError as error:
        assert error.fix
        return str(error)
    return ""


def secret(path: str) -> Deployment:
    return Deployment(schema=1, model="churn", version="v1", secrets={"KEY": path})


@pytest.mark.parametrize(
    "path",
    [
        "/etc/shadow",
        "/var/run/docker.sock",
        "/proc",
        "/root",
        "/",
        "/etc/gitops-ml/secrets",
        "/etc/gitops-ml/secrets/",
        "/etc/gitops-ml/secrets-of-others/key",
        "/etc/gitops-ml/secrets/../../shadow",
        "/etc/gitops-ml/secrets/./key",
        "/etc/gitops-ml/secrets//key",
        "//etc/gitops-ml/secrets/key",
    ],
)
def test_a_secret_elsewhere_than_the_operator_says_is_refused(path: str) -> None:
    assert refusal(secret(path))
    assert refusal(secret(path), GITOPS_ML_SECRETS_UNDER="/srv/a:/srv/b")


def test_secrets_below_the_operators_folders_are_permitted() -> None:
    assert not refusal(secret("/etc/gitops-ml/secrets/api_key"))
    assert not refusal(secret("/srv/b/team/key"), GITOPS_ML_SECRETS_UNDER="/srv/a:/srv/b/")


@pytest.mark.parametrize("value", ["", "0", "no", "false"])
def test_a_command_is_refused_unless_the_operator_permits_commands(value: str) -> None:
    check = Deployment(
        schema=1, model="churn", version="v1", verify=Checks(command=(CommandCheck(name="law", run=("true",)),))
    )
    assert "verify.command law may not run" in refusal(check, GITOPS_ML_ALLOW_COMMANDS=value)
    assert not refusal(check, GITOPS_ML_ALLOW_COMMANDS="1")


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "https://[fe80::1]:90/x", "http://169.254.169.254?x"])
def test_a_literal_address_that_may_not_be_asked_is_refused_at_plan(url: str) -> None:
    check = Deployment(schema=1, model="churn", version="v1", verify=Checks(http=(HttpCheck(name="app", url=url),)))
    assert "link-local" in refusal(check)
    assert not refusal(check, GITOPS_ML_CHECK_HOSTS="169.254.0.0/16 fe80::/10")


@pytest.mark.parametrize(
    "environ",
    [
        {"GITOPS_ML_SECRETS_UNDER": "etc/keys"},
        {"GITOPS_ML_SECRETS_UNDER": "/"},
        {"GITOPS_ML_ALLOW_COMMANDS": "perhaps"},
        {"GITOPS_ML_CHECK_HOSTS": "http://prometheus/"},
        {"GITOPS_ML_CHECK_HOSTS": "prometheus:http"},
    ],
)
def test_a_setting_that_means_nothing_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(InputError, match=next(iter(environ))):
        read_settings(environ)
