"""The versions of a Shortlister and of a HypRank over REST: canary, report, history, promotion, rollback, status."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fakes
import made_stages
import pytest
from services import Service
from waiting import until

from arbitrank.serve.auth import make_token
from arbitrank.shortlist.hyprank import save_hyprank
from arbitrank.store.kinds import HYPRANK, SHORTLIST
from arbitrank.store.store import open_store


class Staged:
    """A service with stable versions of both stages and candidates beside them."""

    def __init__(self, service: Service, token: str, versions: dict[str, tuple[str, str]], number: int = 0) -> None:
        self.service, self.token, self.versions, self.number = service, token, versions, number

    def get(self, path: str) -> Any:
        status, body, _ = self.service.call("GET", path, token=self.token)
        assert status == 200, body
        return body

    def post(self, path: str, body: object = None) -> tuple[int, Any]:
        return self.service.call("POST", path, body, token=self.token)[:2]

    def rank(self, n: int) -> None:
        for _ in range(n):
            self.number += 1
            status, answer = self.service.rank({"id": str(self.number), "utterance": "a lamp"}, token=self.token)
            assert status == 200
            first = answer["shortlist"]["candidates"][0]  # a HypRank sorted the shortlist too
            assert first["score"] != first["shortlisted"]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory, lights_site: Path) -> Iterator[Staged]:
    folder = tmp_path_factory.mktemp("stages")
    store = open_store(folder / "store", environment={})
    for name in ("lights", "shades"):
        fakes.artifact(folder / name, name, mine=0.9)
        store.publish(folder / name, promote=True)
    versions = {
        SHORTLIST: (made_stages.shortlister(store, folder / "s2", 2), made_stages.shortlister(store, folder / "s3", 3))
    }
    hypranks = []
    for number in range(2):
        save_hyprank(made_stages.hyprank(number), folder / f"h{number}")
        hypranks.append(store.publish(folder / f"h{number}", promote=number == 0).version)
    versions[HYPRANK] = hypranks[0], hypranks[1]
    token, grant = make_token("ops", ["rank", "publish:.shortlist", "publish:.hyprank", "metrics"])
    (folder / "tokens").write_text(f"{grant}\n")
    options = ("--shortlist", "--poll", "0.1", "--tokens", str(folder / "tokens"), "--log", str(folder / "log"))
    with Service(lights_site, folder / "store", *options) as service:
        yield Staged(service, token, versions)


def test_a_stages_version_is_tried_beside_the_other_stage_without_being_loaded(staged: Staged) -> None:
    for name, (stable, candidate) in staged.versions.items():
        status, answer = staged.post("/v1/try", {"request": {"utterance": "a lamp"}, "versions": {name: candidate}})
        assert status == 200, answer
        assert answer["shortlist"]["version"] == (candidate if name == SHORTLIST else staged.versions[SHORTLIST][0])
        first = answer["shortlist"]["candidates"][0]  # the HypRank sorted the shortlist
        assert first["score"] != first["shortlisted"]
        assert answer["selection"]["probability"] == 1.0
        seen = staged.get(f"/v1/domains/{name}/versions")["serving"]
        assert (seen["version"], candidate in seen["loaded"]) == (stable, False)


@pytest.mark.parametrize("name", [SHORTLIST, HYPRANK])
def test_a_stages_versions_are_operated_over_rest(staged: Staged, name: str) -> None:
    stable, candidate = staged.versions[name]
    path = f"/v1/domains/{name}"
    found = staged.get(f"{path}/versions")
    assert set(found["versions"]) == {stable, candidate}
    assert (found["state"]["stable"], found["state"]["candidate"]) == (stable, candidate)
    assert found["serving"]["version"] == stable
    assert staged.service.call("GET", f"{path}/canary", token=staged.token)[0] == 409

    status, changed = staged.post(f"{path}/canary", {"share": 0.5, "reason": "a trial"})
    assert (status, changed["state"]["canary"]) == (200, 0.5)
    until(lambda: candidate in staged.get(f"{path}/versions")["serving"]["loaded"])
    staged.rank(60)
    until(lambda: sum(one["answers"] for one in staged.get(f"{path}/canary")["arms"].values()) >= 60)
    report = staged.get(f"{path}/canary")
    assert (report["stable"], report["candidate"], report["source"]) == (stable, candidate, "log")
    assert 0.2 < report["answered"]["mean"] < 0.8
    page = staged.service.call("GET", "/metrics", token=staged.token)[1]
    for arm in ("stable", "canary"):
        counted = f'arbitrank_stage_answers_total{{action="accept",arm="{arm}",stage="{name}"}} '
        assert float(page.partition(counted)[2].partition("\n")[0]) == report["arms"][arm]["answers"]
        assert f'arm="{arm}",domain="{name}"' in page.partition("arbitrank_domain_info")[2]

    status, changed = staged.post(f"{path}/promote")
    assert (status, changed["state"]["stable"]) == (200, candidate)
    assert changed["audited"] is False
    assert changed["remark"].startswith("nothing was audited: no audit set in ")
    until(lambda: staged.get(f"{path}/versions")["serving"]["version"] == candidate)
    assert staged.get(f"{path}/canary")["until"] is not None

    status, changed = staged.post(f"{path}/rollback", {"reason": "a drill"})
    assert (status, changed["state"]["stable"], changed["state"]["previous"]) == (200, stable, candidate)
    assert "audited" not in changed
    until(lambda: staged.get(f"{path}/versions")["serving"]["version"] == stable)
    verbs = [one["verb"] for one in staged.get(f"{path}/history")]
    assert verbs == ["promote", "publish", "canary", "promote", "rollback"]
