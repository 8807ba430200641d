"""Words that requests have whatever they are about, which a catalogue's descriptions do not show to be common.

In a description "my", "please" or "want" is rare, so that its rarity there would make it important.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from arbitrank.nlu.text import crc
from arbitrank.shortlist.description_grams import stem

__all__ = ["request_words"]

_WORDS = """
a about above after again all also am an and any anybody anyone anything are around as ask at away back be
because been
before being both but by came can cannot could d did do does doing don done down each either else even ever
every
everybody everyone everything few for from give given gave go goes going gone good got had has have having he
hello help
her here hers hey hi him his how however i if im in into is isn it its itself just keep kind know known least
less let
lets like ll look lot lots m made make many may maybe me might mine more most much must my myself need needed
needs neither
never new next no nobody none nor not nothing now of off often ok okay old on once one ones only onto or other
others our
ours out over own per perhaps please possible quite rather re really right s said same say says see seem she
should show
since so some somebody someone something soon still such sure t take tell than thank thanks that the their
theirs them then
there these they thing things think this those though through to together too toward try trying under until up
upon us use
used useful user using usually ve very via want wanted wants was way we well were what whatever when where
whether which
while who whole whom whose why will wish with within without would yes yet you your yours yourself
able allow allows assist based best better call called come different easily easy either enable ensure
following get
gets getting great include including like looking own provide provides quick quickly real root several
specific
start suggest support supports tool tools various work works working
bitte ich du er wir ihr sie es mein meine mir mich der das ein eine einen und oder nicht ist sind war wie wo
wann warum
möchte will kann kannst mit für von zu zum zur auf im den dem des gibt zeig sag
por favor quiero puedo puedes mi mis el la los las un una unos y o no es son qué cómo dónde cuándo cuál con
para de del al
en se lo le me
je tu il elle nous vous mon ma mes le les une et ou ne pas est sont quel quelle comment où quand avec pour du
des au aux
dans ce cette veux peux voudrais
eu você ele ela nós meu minha o os as um uma e ou não é são que como onde quando qual com para do da dos das
no na quero
的 了 我 你 是 在 有 和 请 帮 想 要 吗 呢 一 个 这 那 什 么 怎 样 给 把 能 可 以 不
"""


@cache
def request_words() -> NDArray[np.uint32]:
    """The hashes of these words among the words of `description_grams`, ascending."""
    return np.unique(np.array([crc(stem(word)) for word in _WORDS.split()], np.uint32))
