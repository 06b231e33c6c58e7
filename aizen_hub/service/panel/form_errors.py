"""Errors of a form: the page is shown again with what was typed, each error beside its field and in a summary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aizen_hub.problems import BadInput, Conflict, Escalation, Fault, NotFound, Problem
from aizen_hub.service.http.route import RawResponse
from aizen_hub.wording import CommandNames, Interface

CORRECTABLE = (BadInput, Conflict, Escalation, NotFound)
"""What the user can correct in the form; all other problems have a page of their own."""


@dataclass(frozen=True, slots=True)
class FormErrors:
    """The errors of one form.

    Attributes
    ----------
    fields : mapping of str to str
        By the name of the field, which is also the ``id`` of its control: a sentence with the way out.
    general : tuple of str
        What belongs to no field.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    general: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fields or self.general)

    def __len__(self) -> int:
        return len(self.fields) + len(self.general)

    def of(self, name: str) -> str | None:
        """Return the error of a field."""
        return self.fields.get(name)

    @classmethod
    def of_problem(cls, problem: Problem) -> FormErrors:
        """Return the errors that a problem tells; each fault belongs to the field that its pointer names first."""
        fields: dict[str, str] = {}
        general: list[str] = []
        for fault in problem.faults:
            name = fault.pointer.removeprefix("/").partition("/")[0]
            if name:
                fields.setdefault(name, fault.detail)
            else:
                general.append(fault.detail)
        if not problem.faults:
            general.append("; ".join(text for text in (problem.detail, problem.remedy) if text))
        return cls(fields, tuple(general))


NO_ERRORS = FormErrors()


class FieldError(BadInput):
    """An error of one field, raised by a handler or found in what was typed.

    Parameters
    ----------
    name : str
        Of the field.
    detail : str
        With the way out, such as *did you mean paul?*.
    """

    slug, title, status = "field", "A field needs another look", 422

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail, faults=(Fault(f"/{name}", detail),))


def at_field(name: str, problem: Problem, command_names: CommandNames) -> FieldError:
    """Return a problem of one field as its error, in the words of pages."""
    problem.word_for(Interface.WEB, command_names)
    return FieldError(name, "; ".join(text for text in (problem.detail, problem.remedy) if text))


async def show_errors(
    change: Awaitable[RawResponse],
    show_again: Callable[[FormErrors], Awaitable[RawResponse]],
    command_names: CommandNames,
) -> RawResponse:
    """Await a change; if the user can correct the form, show its page again with the errors, as 422.

    Parameters
    ----------
    change : awaitable
        Makes the change and returns the redirect.
    show_again : callable
        Renders the page of the form with the errors, and with what was typed, with ``status=422``.
    command_names : callable
        ``ctx.service.catalog.command_with_handler``.
    """
    try:
        return await change
    except CORRECTABLE as problem:
        problem.word_for(Interface.WEB, command_names)
        return await show_again(FormErrors.of_problem(problem))
