"""The command parser: documented grammars, refusals with remedies, canonical text, linear time."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aizen_hub.catalogs.catalog import Catalog
from aizen_hub.catalogs.grammar import parse_grammar
from aizen_hub.catalogs.loader import load_catalog
from aizen_hub.commands.authorization_request import build_authorization_request
from aizen_hub.commands.command import Command
from aizen_hub.commands.lexer import MAX_BYTES, ascii_excerpt, quote
from aizen_hub.commands.parser import parse_command
from aizen_hub.problems import CommandSyntaxError, Problem, TooLarge, UnknownCommand
from aizen_hub.rbac.identity import Identity
from aizen_hub.rbac.role import SYSTEM
from tests.fixtures.timing import cpu_within

CATALOG = load_catalog("aizen")
ME = Identity.user("me")


@pytest.mark.parametrize(
    ("text", "canonical", "arguments", "project"),
    [
        ("add users users.json", "add users users.json", {"config": "users.json"}, None),
        ("alter users u.json", "alter users u.json", {"config": "u.json"}, None),
        ("list users", "list users", {}, None),
        ("list roles", "list roles", {}, None),
        ("list roles for user1", "list roles for user1", {"user": "user1"}, None),
        (
            "grant role PROJECT_EXECUTOR to user1",
            "grant role PROJECT_EXECUTOR to user1",
            {"roles": ("PROJECT_EXECUTOR",), "user": "user1"},
            None,
        ),
        (
            "grant  role A , B,C\tto user1 ",
            "grant role A,B,C to user1",
            {"roles": ("A", "B", "C"), "user": "user1"},
            None,
        ),
        ("revoke role A from to", "revoke role A from to", {"roles": ("A",), "user": "to"}, None),
        ("delete users a,b", "delete users a,b", {"users": ("a", "b")}, None),
        ("delete user a, b", "delete users a,b", {"users": ("a", "b")}, None),
        ("create project p1", "create project p1", {"name": "p1"}, "p1"),
        (
            "create project p1,config=f.json",
            "create project p1,config=f.json",
            {"name": "p1", "config": "f.json"},
            "p1",
        ),
        (
            "alter project p1, config = f.json",
            "alter project p1,config=f.json",
            {"name": "p1", "config": "f.json"},
            "p1",
        ),
        ("show project", "show project", {}, None),
        ("show project p1", "show project p1", {"name": "p1"}, "p1"),
        ("set project p1", "set project p1", {"name": "p1"}, "p1"),
        ("loader", "loader", {}, None),
        ("plot sales kind=bar", "plot sales kind=bar", {"name": "sales", "kind": "bar"}, None),
        ("list trained-models", "list trained-models", {}, None),
        ("list instances", "list instances", {}, None),
        ("list instance", "list instance", {}, None),
        (
            'start training churn rate=0.1 columns=a,b note="a b; \\"c\\" \\\\"',
            'start training churn columns=a,b note="a b; \\"c\\" \\\\" rate=0.1',
            {"name": "churn", "rate": "0.1", "columns": ("a", "b"), "note": 'a b; "c" \\'},
            None,
        ),
        ("start training epochs=3", "start training epochs=3", {"epochs": "3"}, None),
        ('start training "epochs=3"', 'start training "epochs=3"', {"name": "epochs=3"}, None),
        ("start training x shift=-1", "start training x shift=-1", {"name": "x", "shift": "-1"}, None),
        (
            'configure datasource s url="s3://b/k?x=1" empty=""',
            None,
            {"name": "s", "url": "s3://b/k?x=1", "empty": ""},
            None,
        ),
        ("start training a =1", "start training a=1", {"a": "1"}, None),
        ("start training größe", "start training größe", {"name": "größe"}, None),
    ],
)
def test_valid_commands(
    catalog: Catalog, text: str, canonical: str | None, arguments: dict[str, object], project: str | None
) -> None:
    command = parse_command(text, catalog)
    assert dict(command.arguments) == arguments
    assert command.project == project
    assert canonical is None or command.canonical == canonical
    assert parse_command(command.canonical, catalog) == command


@pytest.mark.proves("R84", "R85", "R87", "R90", "R91", "T-25")
@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t ",
        "start training a\nstart training b",
        "start training a\r",
        "start training a\x0c",
        "start training a\x85",
        "start training a\u2028b",
        "start training a\u2029b",
        "start training a\x00",
        "start training a;b",
        "start training a; delete training a",
        "start training a && delete training a",
        "start training a|b",
        "start training `id`",
        "start training $(id)",
        "start training $HOME",
        "start training a #b",
        "%start training a",
        "!start training a",
        "start training a > b",
        "start training 'a'",
        "start training a\\",
        "start training a\\ b",
        'start training "a',
        'start training "a\\"',
        'start training "a\\n"',
        'start training "a"b',
        'grant role "A"to me',
        'grant role A to"me"',
        'start training "a""k"=1',
        'start training a"b"',
        'start training "a""b"',
        'start training "a\nb"',
        "start training\u00a0a",
        "start\u2003training a",
        'start training "a\u00a0b"',
        "start training a\u200b",
        "start training \u202ea",
        "start training \ufeffa",
        "start training \ue000",
        "start training \ud800",
        "start training \uffff",
        *(f'start training "a{char}b"' for char in "\x00\x1f\x7f\x85\xad\u200b\u202e\u2028\u2029\u2066\ufeff"),
        *(f'start training "a{char}b"' for char in "\ue000\ud800\uffff\U000e0041\u0378"),
        *(f"start training churn{char}" for char in "\u034f\u115f\u17b4\u180b\u3164\ufe0f\uffa0\U000e0101"),
        'start training "a\u2800b"',
        "start training e\u0301",  # not composed
        "start training --force",
        'start training "--force"',
        'start training ""',
        "grant role -x to me",
        "grant role A,A to me",
        "grant role A to",
        "grant role to me",
        "grant role A, to me",
        "grant role A B to me",
        'grant role A "to" me',
        "grant role A to me you",
        "list roles for",
        "list roles me",
        "list users all",
        "list projects x=1",
        "create project p1 config=f",
        "create project p1,cfg=f",
        "create project p1,config=",
        "create project p1,config=f,config=g",
        "alter project p1",
        "set project",
        "set project a b",
        "set project system",
        'delete project "system"',
        "start training a b",
        "start training a k=1 k=2",
        "start training a name=b",
        "start training name=b",
        "start training a k=1 b",
        "start training a k=1=2",
        "start training a k=1,l=2",
        "start training a k=",
        "start training a 1k=1",
        'start training a "k"=1',
        "start training a,b",
    ],
    ids=ascii,
)
def test_invalid_commands(catalog: Catalog, text: str) -> None:
    with pytest.raises(CommandSyntaxError) as caught:
        parse_command(text, catalog)
    assert caught.value.status == 400
    assert caught.value.detail.replace("…", "").isascii()
    assert caught.value.detail.isprintable()
    assert not caught.value.detail.endswith(".")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("start training churn # tonight", "line of their own"),
        ("start training churn; stop all", "one command per line"),
        ("start training churn && stop all", "one command per line"),
        ("configure datasource s note='a b'", "plain double quotes"),
        ("configure datasource s note=\u201ca b\u201d", "plain double quotes"),
        ("start training $HOME", "in double quotes"),
    ],
)
def test_an_invalid_character_has_a_remedy(catalog: Catalog, text: str, remedy: str) -> None:
    with pytest.raises(CommandSyntaxError) as caught:
        parse_command(text, catalog)
    assert remedy in str(caught.value.remedy)


@pytest.mark.proves("R86", "R90", "T-26")
@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("start trainings churn", "start training"),
        ("start trainin churn", "start training"),
        ("strt training", "start training"),
        ("START TRAINING churn", None),
        ("Start training churn", "start training"),
        ("\u0455tart training churn", "start training"),  # Cyrillic dze
        ("delete usr a", "delete users"),
        ("start", "start llm"),
        ("sta training x", "start training"),
        ("plots x", "plot"),
        ("xyzzy frotz", None),
        ("list-projects", "list projects"),
        ("x" * 5000, None),
    ],
)
def test_an_unknown_command_suggests_the_most_similar(catalog: Catalog, text: str, suggestion: str | None) -> None:
    with pytest.raises(UnknownCommand) as caught:
        parse_command(text, catalog)
    actual = caught.value.extensions["suggestion"]
    if suggestion in {None, "start llm"}:
        assert actual is None or actual in catalog.commands
    else:
        assert actual == suggestion
    assert len(caught.value.detail) < 250
    assert caught.value.detail.isascii()


def test_a_syntax_error_shows_the_usage(catalog: Catalog) -> None:
    with pytest.raises(CommandSyntaxError) as caught:
        parse_command("grant role A", catalog)
    ends = "[until <until>] [for <duration>] [because <reason>]"
    assert caught.value.remedy == f"write `grant role <roles,…> to <user> {ends}`"
    with pytest.raises(CommandSyntaxError) as caught:
        parse_command("add users", catalog)
    assert caught.value.remedy == "write `add users <config file>`"


@pytest.mark.proves("R88")
@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("start training " + "a" * (MAX_BYTES - 15), True),
        ("start training " + "a" * (MAX_BYTES - 14), False),
        ("start training " + "ä" * (MAX_BYTES // 2), False),
        ("start training x" * 100_000, False),
        ("plot " + " ".join(f"k{i}=1" for i in range(127)), True),
        ("plot " + " ".join(f"k{i}=1" for i in range(128)), False),
        ("grant role " + ",".join(f"r{i}" for i in range(1000)) + " to me", True),
        ("grant role " + ",".join(f"r{i}" for i in range(1001)) + " to me", False),
    ],
    ids=range(8),
)
def test_the_limits(catalog: Catalog, text: str, fits: bool) -> None:
    if fits:
        assert parse_command(text, catalog)
        return
    with pytest.raises(TooLarge):
        parse_command(text, catalog)


values = st.text(st.sampled_from("abcXYZ019_-./:@+~* ,=\"\\\t;|&$#'`()<>éßжñ中"), min_size=1, max_size=12)


def force_quote(value: str) -> str:
    """Quote unconditionally, without using the code under test."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


lines = st.one_of(
    st.text(max_size=60),
    st.builds(
        lambda name, rest: f"{name} {rest}",
        st.sampled_from(sorted(CATALOG.commands)),
        st.text(st.sampled_from('ab1-_. ,="\\\tfromto;é'), max_size=40),
    ),
    st.builds(
        lambda name, key, value: f"start training {force_quote(name)} {key}={force_quote(value)}",
        values,
        st.sampled_from(["k", "key-1"]),
        values,
    ),
)


def try_parse(text: str) -> Command | None:
    try:
        return parse_command(text, CATALOG)
    except Problem as problem:
        error = problem
    assert error.status in {400, 413}
    return None


@given(lines)
@settings(max_examples=600, deadline=None)
@pytest.mark.proves("R83", "R87", "T-25")
def test_the_canonical_text_parses_to_the_same_command(text: str) -> None:
    command = try_parse(text)
    assume(command is not None)
    assert command is not None
    reparsed = parse_command(command.canonical, CATALOG)
    assert reparsed == command
    assert reparsed.canonical == command.canonical
    for current in (None, "p"):
        assert build_authorization_request(reparsed, current, ME) == build_authorization_request(command, current, ME)


@given(values, values)
@example("a,b", "a,b")
@example("a=b", '\\"')
@settings(deadline=None)
@pytest.mark.proves("R83")
def test_a_value_survives_quoting(name: str, value: str) -> None:
    command = try_parse(f"start training {force_quote(name)} k={force_quote(value)}")
    assume(command is not None)
    assert command is not None
    assert command.arguments == {"name": name, "k": value}
    assert parse_command(command.canonical, CATALOG).arguments == command.arguments
    assert try_parse(f"start training {quote(name)} k={quote(value)}") == command


def test_secrets_do_not_reach_the_audit(catalog: Catalog) -> None:
    command = parse_command('install credentials aws key=AKIA secret="x y" list=a,b', catalog)
    text = command.redacted(lambda value: f"masked:{len(value)}")
    assert text == "install credentials aws key=masked:4 list=masked:1,masked:1 secret=masked:3"
    assert parse_command("start training x k=1", catalog).redacted(lambda value: "") == "start training x k=1"


@pytest.mark.proves("R65", "T-27")
@pytest.mark.parametrize(
    ("text", "current", "scope", "permission"),
    [
        ("alter project other,config=f", "mine", "other", "grant:project"),
        ("set project other", "mine", "other", "enter:project"),
        ("show project", "mine", "mine", "read:project"),
        ("show project other", "mine", "other", "read:project"),
        ("show project", None, None, "read:project"),
        ("create project other", "mine", SYSTEM, "create:project"),
        ("start training x", "mine", "mine", "execute:training"),
        ("start training x", None, None, "execute:training"),
        ("list users", "mine", "mine", "list:users"),
        ("list users", None, SYSTEM, "list:users"),
        ("check license", "mine", SYSTEM, "manage:license"),
        ("list projects", "mine", SYSTEM, None),
        ("list roles", "mine", "mine", None),
        ("list roles for me", "mine", "mine", None),
        ("list roles for you", "mine", "mine", "list:roles"),
        ("list roles for ME", "mine", "mine", "list:roles"),
    ],
)
def test_the_authorization_request_of_a_command(
    catalog: Catalog, text: str, current: str | None, scope: str | None, permission: str | None
) -> None:
    request = build_authorization_request(parse_command(text, catalog), current, ME, "s1")
    assert request.scope == scope
    assert (None if request.permission is None else str(request.permission)) == permission
    assert request.session_id == "s1"


def test_a_service_account_with_the_same_name_is_another_identity(catalog: Catalog) -> None:
    requester = Identity.service_account("me")
    assert (
        build_authorization_request(parse_command("list roles for me", catalog), None, requester).permission is not None
    )


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("<name", "cannot be parsed"),
        ("[<a>", "does not close"),
        ("[[<a>]]", "nests"),
        ("[]", "empty bracket"),
        ("<a> <a>", "twice"),
        ("key=value … <a>", "nothing may follow"),
        ("[<a>] <b>", "ambiguous"),
        ("<a:number>", "is not a valid ArgumentKind"),
    ],
)
def test_an_ambiguous_grammar_is_refused(template: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse_grammar(template)


def test_excerpts_are_bounded_and_ascii() -> None:
    assert ascii_excerpt("a\n\x1b[31m" + "b" * 99) == "a\\x0a\\x1b[31m" + "b" * 33
    assert ascii_excerpt("\u0455") == "\\u0455"


@pytest.mark.proves("R92", "T-30")
@pytest.mark.parametrize("seed", ["a", "a ", '"', '\\"', "a=", "a,", " ", "-", "é", "key=value … ", "<a>", "[", ",a=<"])
def test_parsing_takes_linear_time(catalog: Catalog, seed: str) -> None:
    """The worst input of maximal length is parsed or refused quickly; so is a grammar of 64 KiB."""
    for prefix in ("", "start training ", "grant role ", 'plot "'):
        with cpu_within(0.5):  # 2 ms; several seconds if the time were quadratic
            try_parse((prefix + seed * MAX_BYTES)[:MAX_BYTES])
    with cpu_within(2), suppress(ValueError):
        parse_grammar((seed * 65_536)[:65_536])
