"""The components of the templates: each renders, escapes what it is given, and names what readers need."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aizen_hub.rbac.role import Role
from aizen_hub.service.panel import rendering
from aizen_hub.service.panel.fields.until import presets
from aizen_hub.service.panel.form_errors import FormErrors
from aizen_hub.service.panel.paging import Page
from aizen_hub.service.panel.toasts import Toast
from tests.service.panel.window import PREFIX

NOW = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
HOSTILE = "<img src=x onerror=alert(1)>\"'{{ 7*7 }}"
ROLES = {
    "READER": Role("READER", built_in=True),
    "ADMIN": Role("ADMIN", built_in=True, protected=True),
    "LABELLER": Role("LABELLER"),
}
PAGE = Page([1, 2], 1968, 26, "next", "previous", "-name", {"q": "a b", "sort": "-name"})


def render(source: str, **variables: Any) -> str:
    template = rendering.environment(PREFIX).from_string(source)
    return template.render(now=NOW, roles=ROLES, page=PAGE, hostile=HOSTILE, **variables)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ('{{ ui.who("user:rita", "Rita Sandoval") }}', ["people/rita", ">RS<", "Rita Sandoval", "az-sub"]),
        ('{{ ui.who("group:a b", small=True) }}', ["groups/a%20b", "#i-group", "az-face sm"]),
        ('{{ ui.who("service-account:nightly", link=False) }}', ["<span", "#i-gear", "nightly"]),
        ('{{ ui.who("rita", "x" * 60) }}', ['title="' + "x" * 60, "x" * 39 + "…"]),
        ('{{ ui.role("READER", roles) }}', ['class="az-role"', "roles/READER"]),
        ('{{ ui.role("ADMIN", roles, link=False) }}', ["az-role strong", "<span"]),
        ('{{ ui.role("LABELLER", roles) }}', ["az-role custom"]),
        ('{{ ui.role("A_ROLE_OF_MORE_THAN_TWENTY", roles) }}', ["az-role long", "A_<wbr>ROLE_<wbr>"]),
        ('{{ ui.project("system") }}', ["the whole system"]),
        ('{{ ui.badge("Full", "no") }}', ["az-badge no", "#i-stop"]),
        ("{{ ui.until(None, now) }}", ["No end"]),
        (
            "{{ ui.until(None, now, now) }}",
            [">As long as the directory confirms it<", 'az-sub">confirmed until <time'],
        ),
        ("{{ ui.until(now, now, now) }}", [">ended <time"]),
        ('{{ ui.filters and ui.crumbs([("Projects", url("projects")), ("churn", None)]) }}', ["Breadcrumb", "churn"]),
        (
            '{{ ui.tabs([("M", "x", True, 1400), ("N", "y", False, None)]) }}',
            ["1,400", 'aria-current="page"'],
        ),
        (
            '{% call ui.card("Title", id="t", about="a", footer="f") %}b{% endcall %}',
            ['aria-labelledby="t-title"', "b"],
        ),
        ('{% call ui.note("wait") %}<b>x</b>{% endcall %}', ["az-note wait", "<b>x</b>"]),
        ('{% call ui.verdict(False, "No.") %}<p>w</p>{% endcall %}', ["az-verdict no", 'role="status"']),
        ('{% call ui.empty("Nothing") %}<p>w</p>{% endcall %}', ["az-empty", "<h3>Nothing"]),
        ('{% call ui.fold("The 11 who stay") %}x{% endcall %}', ["<summary>The 11 who stay</summary>"]),
        ('{{ ui.meter("m", "Servers", 9, 10, "9 of 10") }}', ['high="8.0"', 'value="9"', "9 of 10</meter>"]),
        ('{{ ui.meter("m", "Servers", 2, 2, "2 of 2") }}', ['high="2"']),
        ('{{ ui.diff(["a"], ["b"]) }}', ["<ins>+ a</ins>", "b</del>"]),
        ('{{ ui.secret("s3cret", "s") }}', ['id="s"', 'data-copy="s"']),
        ('{{ ui.sign_in_again("/hub/", "projects/a b", "why") }}', ["aizen/confirm?page=projects/a%20b"]),
        ('{{ ui.chain(["rita", "churn"]) }}', ["<li>rita</li>"]),
        (
            '{{ ui.field("n", "Name", "v", hint="h", required=True, maxlength=5) }}',
            [" required", 'maxlength="5"', "n-hint"],
        ),
        ('{{ ui.textarea("n", "Name", "v") }}', [">\nv</textarea>"]),
        ('{{ ui.file_text("n", "File") }}', ['type="file"', 'data-file-for="n"']),
        (
            '{{ ui.select("n", "S", [("a", "A"), ("G", [("b", "B")])], "b", placeholder="Any") }}',
            ["optgroup", '"b" selected'],
        ),
        ('{{ ui.checkbox("p", "rita", True, "rita", "p-rita") }}', ['id="p-rita"', "checked"]),
        ('{{ ui.choice("o", "yes", "Open", "All see it", True) }}', ['for="o-yes"', "checked"]),
        ('{{ ui.people_field("who", "People") }}', ["data-tokens", "suggest?kinds=user%2Cgroup"]),
        ('{% call ui.filters("x", "Name", "v", kept={"sort": "name"}) %}s{% endcall %}', ['value="v"', 'name="sort"']),
        (
            '{% call ui.table("C", [("N", "name"), "S", ""], page, "x") %}r{% endcall %}',
            ['aria-sort="d', "Actions"],
        ),
        (
            '{{ ui.row("h", [("A", "a", "key"), ("B", "b", "rest")], "e", "rita") }}',
            ["about rita", "<dt>B</dt>", "az-end"],
        ),
        ('{{ ui.row("h", [("A", "a", "plain")]) }}', ['data-label="A"']),
        ('{{ ui.group_row("g", 3) }}', ['colspan="3"']),
        ('{{ ui.pager(page, ("person", "people"), "x") }}', ["27 of 1,968 people", "before=previous", "after=next"]),
        ("{{ ui.truncated([1, 2], True) }}", ["Only the first 2 are shown."]),
    ],
)
def test_a_component_renders(source: str, parts: list[str]) -> None:
    text = render(source)
    for part in parts:
        assert part in text, text


@pytest.mark.parametrize(
    ("ends", "part"),
    [
        (NOW + timedelta(days=3), "az-badge wait"),
        (NOW + timedelta(days=200), ">18 Jun 2027<"),
        (NOW - timedelta(days=1), "ended"),
        # What ends at midnight is valid until the day before.
        (datetime(2027, 1, 1, tzinfo=UTC), ">31 Dec<"),
    ],
)
def test_an_end_is_shown_as_its_last_day(ends: datetime, part: str) -> None:
    assert part in render("{{ ui.until(ends, now) }}", ends=ends)


def test_an_error_stands_at_its_field_and_in_the_summary() -> None:
    errors = FormErrors({"who": "there is no pual; did you mean paul?"}, ("too late",))
    field = render('{{ ui.people_field("who", "People", "pual", errors=errors) }}', errors=errors)
    assert 'aria-invalid="true"' in field
    assert 'aria-describedby="who-error who-hint"' in field
    assert "There is no pual; did you mean paul?" in field
    summary = render("{{ ui.error_summary(errors) }}", errors=errors)
    assert "2 fields need another look" in summary
    assert 'href="#who"' in summary
    assert "Too late." in summary


def test_the_until_picker_offers_presets_and_a_date() -> None:
    text = render('{{ ui.until_picker("until", presets, "7d") }}', presets=presets(NOW))
    assert re.findall(r'value="(\w+)"(?: checked)?>', text) == ["8h", "7d", "30d", "quarter", "none", "date"]
    assert 'value="7d" checked' in text
    assert "End of quarter (31 Dec)" in text


def test_a_toast_offers_its_undo_as_a_form() -> None:
    text = render("{{ ui.toast(toast, 'token') }}", toast=Toast("Done.", "0" * 32))
    assert 'action="/services/aizen/undo"' in text
    assert 'value="token"' in text
    assert "<form" not in render("{{ ui.toast(toast, 'token') }}", toast=Toast("Done."))


@pytest.mark.proves("R118")
@pytest.mark.parametrize(
    "source",
    [
        '{{ ui.who("user:" ~ hostile, hostile) }}',
        "{{ ui.role(hostile, roles) }}",
        "{{ ui.project(hostile) }}",
        "{{ ui.badge(hostile) }}",
        "{{ ui.field(hostile, hostile, hostile, hint=hostile) }}",
        "{{ ui.select(hostile, hostile, [(hostile, hostile)], hostile) }}",
        "{{ ui.row(hostile, [(hostile, hostile, 'key'), (hostile, hostile, 'rest')], hostile, hostile) }}",
        "{{ ui.crumbs([(hostile, url(hostile))]) }}",
        "{{ ui.secret(hostile) }}",
        "{{ ui.people_field(hostile, hostile, hostile, kinds=hostile) }}",
        "{{ ui.diff([hostile], [hostile]) }}",
    ],
)
def test_text_of_users_is_escaped(source: str) -> None:
    text = render(source)
    assert "<img" not in text
    assert "\"'" not in text
    assert "49" not in text
