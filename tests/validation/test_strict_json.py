"""Strict JSON parsing: everything that two parsers could interpret differently is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aizen_hub.problems import BadInput, TooLarge
from aizen_hub.validation.strict_json import MAX_BYTES, MAX_DEPTH, MAX_KEYS, loads
from tests.fixtures.timing import cpu_within


@pytest.mark.proves("R110", "R112", "R114", "T-29")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(b"", BadInput, id="nothing"),
        pytest.param(b"{", BadInput, id="cut off"),
        pytest.param(b"{} {}", BadInput, id="two texts"),
        pytest.param(b"{}x", BadInput, id="trailing data"),
        pytest.param(b"{}\x00", BadInput, id="trailing NUL"),
        pytest.param(b"NaN", BadInput, id="NaN"),
        pytest.param(b"[Infinity]", BadInput, id="Infinity"),
        pytest.param(b"[-Infinity]", BadInput, id="-Infinity"),
        pytest.param(b"1e999", BadInput, id="a float that overflows"),
        pytest.param(b"-1e999", BadInput, id="a negative float that overflows"),
        pytest.param(b"1" * 41, BadInput, id="a long integer"),
        pytest.param(b'{"a": 1, "a": 2}', BadInput, id="a duplicate key"),
        pytest.param(b'{"a": 1, "\\u0061": 2}', BadInput, id="a duplicate key, escaped"),
        pytest.param(b'[{"x": {"a": 1, "b": 2, "a": 3}}]', BadInput, id="a duplicate key, deep"),
        pytest.param(b'"\\ud800"', BadInput, id="a lone surrogate"),
        pytest.param(b'{"\\udfff": 1}', BadInput, id="a lone surrogate as a key"),
        pytest.param(b'["\\ud800\\u0041"]', BadInput, id="half a pair"),
        pytest.param("\ud800", BadInput, id="a lone surrogate in text"),
        pytest.param('"\ud800"', BadInput, id="a lone surrogate in a text literal"),
        pytest.param(b'"\xff"', BadInput, id="not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', BadInput, id="a surrogate in UTF-8"),
        pytest.param(b'"\xc0\x80"', BadInput, id="an overlong NUL"),
        pytest.param(b"\xef\xbb\xbf{}", BadInput, id="a byte order mark"),
        pytest.param("{}".encode("utf-16"), BadInput, id="UTF-16"),
        pytest.param(b'"a\nb"', BadInput, id="a newline in a string"),
        pytest.param(b"{'a': 1}", BadInput, id="single quotes"),
        pytest.param(b"[1,]", BadInput, id="a trailing comma"),
        pytest.param(b"// no\n1", BadInput, id="a comment"),
        pytest.param(b"01", BadInput, id="a leading zero"),
        pytest.param(b"a: 1", BadInput, id="YAML"),
        pytest.param(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), TooLarge, id="too deep"),
        pytest.param(b'{"a":' * (MAX_DEPTH + 1), TooLarge, id="too deep, objects"),
        pytest.param(b"[" * 500_000, TooLarge, id="a nesting bomb"),
        pytest.param(json.dumps({str(i): 0 for i in range(MAX_KEYS + 1)}).encode(), TooLarge, id="too many keys"),
        pytest.param(json.dumps([{"a": 0}] * (MAX_KEYS + 1)).encode(), TooLarge, id="too many keys, spread"),
        pytest.param(b'"' + b"a" * MAX_BYTES + b'"', TooLarge, id="too long"),
        pytest.param('"' + "ä" * (MAX_BYTES // 2) + '"', TooLarge, id="too long in bytes"),
        pytest.param(b" " * (10 << 20) + b"1", TooLarge, id="ten megabytes"),
    ],
)
def test_invalid_json(text: bytes | str, problem: type[Exception]) -> None:
    with cpu_within(5), pytest.raises(problem) as caught:
        loads(text)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, None),
        (b'"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["', "[" * 40),
        (b'"\\"[{"', '"[{'),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        ('"\U0001f600"', "\U0001f600"),
        (b" 1 ", 1),
        (b"1.5e3", 1500.0),
        (b"9" * 40, int("9" * 40)),
        (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
    ],
)
def test_valid_json(text: bytes | str, value: object) -> None:
    parsed = loads(text)
    assert value is None or parsed == value


trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(trees, st.booleans())
def test_json_round_trip(tree: object, plain: bool) -> None:
    text = json.dumps(tree, ensure_ascii=plain)
    assert loads(text) == tree
    assert loads(text.encode()) == tree


@given(st.binary(max_size=64) | st.text(max_size=64))
def test_any_input_is_parsed_or_raises_a_problem(data: bytes | str) -> None:
    try:
        loads(data)
    except (BadInput, TooLarge) as error:
        refused = error
    else:
        return
    assert refused.status in {400, 413}


BRACKETS = st.text(alphabet='[]{}"\\a\n', max_size=6)
NESTED = st.recursive(
    BRACKETS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BRACKETS, inner, max_size=3), max_leaves=12
)


def depth(tree: object) -> int:
    children = tree.values() if isinstance(tree, dict) else tree
    return 0 if isinstance(tree, str) else 1 + max(map(depth, children), default=0)  # type: ignore[arg-type]


@given(NESTED, st.integers(0, 4))
def test_brackets_in_strings_do_not_nest(tree: object, limit: int) -> None:
    text = json.dumps(tree)
    if depth(tree) > limit:
        with pytest.raises(TooLarge, match="nested deeper"):
            loads(text, max_depth=limit)
    else:
        assert loads(text, max_depth=limit) == tree


@pytest.mark.parametrize("end", ['"', "\\", '\\"', "[", '"[' * 40])
def test_a_string_that_does_not_end_is_refused(end: str) -> None:
    with pytest.raises((BadInput, TooLarge)):
        loads("[" * 33 + ']"' + end)
