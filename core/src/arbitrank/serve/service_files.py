"""Files that a worker reads again while it serves: the policy, tokens, keys, and the certificate of TLS."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arbitrank.arbitration.policy import Policy
from arbitrank.errors import message
from arbitrank.guard import Fault, guarded
from arbitrank.serve.auth import Grant, read_tokens
from arbitrank.serve.certificate import certificate
from arbitrank.serve.policy import read_policy
from arbitrank.serve.reloading import Reloaded
from arbitrank.serve.rereading import followed, written
from arbitrank.serve.settings import ServiceSettings
from arbitrank.store.signing import Keys, open_keys

if TYPE_CHECKING:
    from arbitrank.serve.worker_state import WorkerState


@dataclass(frozen=True)
class ServiceFiles:
    """The files of some settings, each None where they name none."""

    policy: Reloaded[Policy] | None
    tokens: Reloaded[tuple[Grant, ...]] | None
    certificate: Reloaded[ssl.SSLContext] | None
    keys: Reloaded[None] | None

    @property
    def present(self) -> dict[str, Reloaded[Any]]:
        """Those that there are, by kind."""
        named = {"policy": self.policy, "tokens": self.tokens, "certificate": self.certificate, "keys": self.keys}
        return {name: file for name, file in named.items() if file is not None}

    def tls_context(self) -> ssl.SSLContext:
        """The context with the certificate that serves now."""
        assert self.certificate
        return self.certificate.value


def service_files(settings: ServiceSettings, keys: Keys | None) -> ServiceFiles:
    """The files of settings. Raises `InputError` where one is invalid."""
    return ServiceFiles(
        Reloaded(settings.policy, read_policy) if settings.policy else None,
        Reloaded(settings.tokens, read_tokens) if settings.tokens else None,
        certificate(settings.tls),
        Reloaded(keys.folder, lambda folder: keys.check()) if keys else None,
    )


def follow_configuration(state: WorkerState) -> None:
    """Have a worker take over what the supervisor has read again; where a file of that is invalid, nothing of it."""
    found = guarded(written, state.folder)
    if isinstance(found, Fault) or found is None:
        return
    state.configuration_problem = found.problem
    settings = followed(state.settings, found.settings)
    if settings == state.settings:
        return
    taken = guarded(_exchanged, state, settings)
    if isinstance(taken, Fault):
        state.configuration_problem = f"{message(taken)}; the previous settings stay in force"
        state.events.write("configuration", "error", reason=state.configuration_problem)
        return
    state.files, state.store.keys = taken
    state.settings = settings
    state.load.limit(settings.limits)


def _exchanged(state: WorkerState, settings: ServiceSettings) -> tuple[ServiceFiles, Keys | None]:
    """The files and the keys of other settings. Raises `InputError` where one is invalid."""
    keys = state.store.keys if settings.keys == state.settings.keys else open_keys(settings.keys)
    return service_files(settings, keys), keys
