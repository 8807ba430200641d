"""Claims of other domains' requests: the neighbours are read in a process of their own, without their scores."""

from __future__ import annotations

from arbitrank.testing.neighbours import EACH, neighbours_of


def test_the_own_requests_of_the_installed_neighbours_are_read() -> None:
    found = {one.name: one for one in neighbours_of("music")}
    assert set(found) >= {"books", "video"}
    assert "music" not in found
    for name in ("books", "video"):
        assert found[name].reason == ""
        assert len({one.utterance for one in found[name].requests}) == EACH
        assert all(one.hypotheses is None for one in found[name].requests)
