"""The picture of a QR code has exactly the modules of the code."""

from __future__ import annotations

import re

import segno

from aizen_hub.service.panel.mine.qr_code import QrCode


def test_modules() -> None:
    text = "otpauth://totp/Aizen:rita?secret=JBSWY3DPEHPK3PXP&issuer=Aizen"
    code = QrCode.of_text(text)
    expected = [list(row) for row in segno.make(text, error="m", micro=False).matrix_iter(border=4)]
    drawn = [[0] * code.size for _ in range(code.size)]
    for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1h-\3z", code.path):
        for offset in range(int(length)):
            drawn[int(y)][int(x) + offset] += 1
    assert drawn == expected
    assert not any(drawn[0]), "the quiet zone is light"
