"""What all commands share: `-h`, `--quiet`, `-o`, variables for options, and the document for programs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from gitops_ml.cli import documents

VARIABLES = "GITOPS_ML"
"""The prefix of the variables that set options: `GITOPS_ML_SYNC_RETRY` is `--retry` of `sync`."""


class Command(TyperCommand):
    """A command with `--quiet`, whose errors are in its document."""

    def __init__(self, *arguments: Any, params: list[Any] | None = None, **settings: Any) -> None:
        # Each option has a variable, named after it; the help does not repeat them all.
        quiet = TyperOption(
            param_decls=["--quiet", "-q"],
            is_flag=True,
            help="Print results and errors only.",
            envvar=f"{VARIABLES}_QUIET",
            default=False,
        )
        params = [*(params or []), quiet]
        for param in params:
            param.show_envvar = False
        super().__init__(*arguments, params=params, **settings)
        self._has_output = any(param.name == "output" for param in params)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments. `--json` is another word for `-o json`."""
        if self._has_output:
            end = args.index("--") if "--" in args else len(args)
            args = ["--output=json" if word == "--json" else word for word in args[:end]] + args[end:]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and print its document."""
        quiet = bool(ctx.params.pop("quiet", False))
        with documents.command(ctx.params.get("output") or "text", quiet=quiet):
            return super().invoke(ctx)


class Group(TyperGroup):
    """A group whose own options have no variables: `GITOPS_ML_VERSION` must not mean `--version`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of the group itself."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            param.show_envvar = param.allow_from_autoenv = False
        return params


class Commands(typer.Typer):
    """A group of commands, all of the class `Command`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, rich_markup_mode=None, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Register a command: see `typer.Typer.command`."""
        return super().command(name, cls=Command, **settings)


def ungrouped(function: Callable[..., Any]) -> Callable[..., Any]:
    """A command that takes options as one value, as Typer understands it: each option is a parameter of its own.

    The type of such a value is a named tuple of the options that belong together.
    """
    hints = get_type_hints(function, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if hasattr(kind, "_fields")}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        if (group := groups.get(parameter.name)) is None:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
            continue
        options = get_type_hints(group, include_extras=True)
        parameters += [
            parameter.replace(name=name, default=group._field_defaults[name], annotation=options[name])
            for name in group._fields
        ]

    @functools.wraps(function)
    def call(**given: Any) -> Any:
        values = {name: kind(**{field: given.pop(field) for field in kind._fields}) for name, kind in groups.items()}
        return function(**given, **values)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
