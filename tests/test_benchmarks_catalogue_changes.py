"""The benchmark of changes of a catalogue has the documented figures."""

from __future__ import annotations

import json

import pytest
from benchmarks.catalogue_changes import main


def test_a_catalogue_is_read_trained_on_and_changed_while_it_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--skills", "200", "--served", "50", "--before", "0", "10", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["reading"]["skills"] == 200
    assert min(found["reading"].values()) >= 0
    assert [row["added_before"] for row in found["changing"]] == [0, 10]
    assert all(0 < row["found_ms"] < row["kept_ms"] for row in found["changing"])
