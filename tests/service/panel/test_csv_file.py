"""CSV files of the panel."""

from __future__ import annotations

from aizen_hub.service.panel.csv_file import csv_response, to_csv


def test_no_cell_is_a_formula() -> None:
    assert to_csv(["a", "b"], [["=1+1", "x,y"], ["@x", ""]]) == "a,b\r\n'=1+1,\"x,y\"\r\n'@x,\r\n"


def test_a_file_is_a_download_that_no_page_can_frame() -> None:
    response = csv_response("a\r\n", "members.csv")
    assert response.headers["Content-Disposition"] == 'attachment; filename="members.csv"'
    assert response.headers["X-Frame-Options"] == "DENY"
