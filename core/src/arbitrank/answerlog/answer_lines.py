"""Lines of the answer log, each made of an answer, what it was made of, and its origin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from arbitrank.answerlog.origins import Drawn, Origin
from arbitrank.values import Answer, Hypothesis, Request
from arbitrank.wire.requests import Logged

_encode = msgspec.json.Encoder().encode


def answer_line(
    request: Request,
    answer: Answer,
    recognised: Sequence[Hypothesis],
    origin: Origin,
    encoded: bytes | None,
    time: float,
) -> Logged:
    """The line of an answer given at `time`, in seconds since 1970.

    `recognised` are the hypotheses where the request brought none; `encoded` is the answer in JSON, where it may be
    kept as it was sent.
    """
    brought, (call, arms, claims, selection) = request.hypotheses, origin
    return Logged(
        id=request.id,
        utterance=request.utterance,
        context=request.context,
        hypotheses=tuple(recognised) if brought is None else brought,
        session=request.session,
        account=request.account,
        dialogue=request.dialogue,
        answer=_shown(answer, selection, encoded),
        recognised=brought is None,
        time=time,
        request_id=call and call[0],
        traceparent=call and call[1],
        arms=dict(arms) or None,
        claims={} if claims is None else claims(),
    )


def _shown(answer: Answer, selection: Drawn | None, encoded: bytes | None) -> Any:
    """The answer with its selection, its last field; in the bytes that it was sent in, where there are any."""
    if encoded is None:
        return answer if selection is None else replace(answer, selection=selection())
    if selection is not None:
        encoded = b'%b,"selection":%b}' % (encoded[:-1], _encode(selection()))
    return msgspec.Raw(encoded)
