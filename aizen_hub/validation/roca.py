"""Detection of RSA keys of the library that CVE-2017-15361 (ROCA) is about: their private half can be computed.

The primes of that library have the form ``k * M + (65537 ** a mod M)``, where M is the product of the first primes. So
the modulus is a power of 65537 modulo M, which holds for a random modulus with a probability below 2**-100.

Source: M. Nemec et al., "The Return of Coppersmith's Attack", ACM CCS 2017, section 2.
"""

from __future__ import annotations

from math import gcd

_GENERATOR = 65537
_PRIMES = (
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
)  # fmt: skip
"""The odd ones of the first 39 primes: M of the shortest keys, which divides M of all longer ones."""


def is_roca_modulus(modulus: int) -> bool:
    """Return whether an RSA modulus is a power of 65537 modulo every prime of M, with one and the same exponent."""
    exponent, step = 0, 1
    for prime in _PRIMES:
        logarithm = _LOGARITHMS[prime].get(modulus % prime)
        if logarithm is None:
            return False
        # Chinese remainder theorem: the exponents modulo `step` and modulo `order` must agree.
        order = len(_LOGARITHMS[prime])
        divisor = gcd(step, order)
        if (logarithm - exponent) % divisor:
            return False
        exponent += step * ((logarithm - exponent) // divisor * pow(step // divisor, -1, order // divisor))
        step = step * order // divisor
        exponent %= step
    return True


def _powers(prime: int) -> dict[int, int]:
    """Return the discrete logarithm of every power of 65537 modulo a prime."""
    logarithms: dict[int, int] = {}
    value = 1
    while value not in logarithms:
        logarithms[value] = len(logarithms)
        value = value * _GENERATOR % prime
    return logarithms


_LOGARITHMS = {prime: _powers(prime) for prime in _PRIMES}
