"""The parts of names that are e-mail addresses."""

from __future__ import annotations

import pytest

from aizen_hub.validation.email_address import email_domain, short_name


@pytest.mark.parametrize(
    ("external", "local"), [("ann@example.org", "ann"), ("ann", "ann"), ("@x", "@x"), ("ann@", "ann@"), ("a@b@c", "a")]
)
def test_the_short_name_of_a_mail_address_is_its_local_part(external: str, local: str) -> None:
    assert short_name(external) == local


@pytest.mark.parametrize(
    ("external", "domain"), [("ann@Example.ORG", "example.org"), ("ann", None), ("@x", None), ("ann@", None)]
)
def test_the_domain_of_a_mail_address_is_in_lower_case(external: str, domain: str | None) -> None:
    assert email_domain(external) == domain
