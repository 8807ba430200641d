"""The table of operations: routing and the OpenAPI document agree with it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from starlette.exceptions import HTTPException
from starlette.routing import Route

from arbitrank.arbitration.decide import DecisionSettings
from arbitrank.errors import InputError
from arbitrank.serve import openapi
from arbitrank.serve.app import App
from arbitrank.serve.auth import authorize, make_token
from arbitrank.serve.domain_routes import DomainHandlers
from arbitrank.serve.operations import FEEDBACK, OPERATIONS, RANK
from arbitrank.serve.promotion_process import PromotionTask, carry_out
from arbitrank.serve.routes import application
from arbitrank.serve.settings import ServiceSettings
from arbitrank.store.key_files import SigningKey, keygen
from arbitrank.store.kinds import RESERVED

CALLS = {(operation.method, operation.path) for operation in OPERATIONS}


def test_every_operation_is_in_the_document_and_nothing_else() -> None:
    paths = openapi.description()["paths"]
    described = {(verb.upper(), path) for path, item in paths.items() for verb in item if verb != "parameters"}
    assert described == CALLS
    assert [call["operationId"] for item in paths.values() for verb, call in item.items() if verb != "parameters"] == [
        operation.name for operation in OPERATIONS
    ]
    assert all(("parameters" in item) == ("{" in path) for path, item in paths.items())


def test_every_operation_is_served(tmp_path: Path) -> None:
    app = App(ServiceSettings(store=str(tmp_path)), tmp_path)
    routes = [route for route in application(app.state).routes if isinstance(route, Route)]
    served = {(method, route.path) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    assert served | {("POST", RANK)} == CALLS
    assert ("POST", FEEDBACK) in served
    app.state.events.close()


def test_every_reference_in_the_document_is_defined() -> None:
    whole = openapi.description()
    references = {part.partition('"')[0] for part in openapi.document().decode().split('"#/components/schemas/')[1:]}
    assert references <= whole["components"]["schemas"].keys()
    assert {"Request", "Answer", "Error"} <= references


@pytest.mark.parametrize("name", RESERVED)
def test_a_token_may_publish_under_a_reserved_name(name: str) -> None:
    token, grant = make_token("ops", [f"publish:{name}"])
    headers = [(b"authorization", f"Bearer {token}".encode())]
    assert authorize([grant], headers, f"publish:{name}", loopback=True) == grant


def test_a_promotion_without_the_packages_of_training_is_not_implemented(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "arbitrank.promotion", None)
    task = PromotionTask(str(tmp_path), None, "lights", None, False, False, None, DecisionSettings())
    verdict = carry_out(task)
    assert verdict.status == 501
    assert "pip install 'arbitrank[train]'" in msgspec.json.decode(verdict.body)["error"]


def test_with_keys_a_change_over_http_needs_the_operators_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    private, public, _ = keygen(tmp_path / ".changes")
    public.rename(keys / public.name)
    monkeypatch.setenv("ARBITRANK_SIGNING_KEY", str(private))  # that of commands is not the service's
    call = SimpleNamespace(path_params={"domain": ".decisions"})
    for signing, refused in ((SigningKey(), 409), (SigningKey(str(private)), None)):
        app = App(ServiceSettings(store=str(tmp_path / "store"), keys=str(keys), signing=signing), tmp_path)
        handlers = DomainHandlers(app.state)
        if refused:
            with pytest.raises(
                HTTPException, match=r"start it with --sign-key FILE, or run: arbitrank canary "
            ) as raised:
                handlers.changing(call, "canary", None)
            assert raised.value.status_code == refused
        else:
            assert handlers.changing(call, "canary", None) == ".decisions"
            with pytest.raises(HTTPException, match="control character"):
                handlers.changing(call, "canary", "two\nlines")
        app.state.events.close()
    private.chmod(0o644)
    with pytest.raises(InputError, match="every user of this machine may read it"):
        SigningKey(str(private)).opened()
