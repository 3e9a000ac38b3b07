"""The accounts of NATS: the programs', with all streams; the gateways' and the subscribers', which only ask there.

They are apart since a request names the subject of its answer: in the account of the streams, whoever may ask for
anything could have an answer delivered as an event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.common.identity.nats.claims import Account, Imported, Service
from services.common.identity.nats.rights import ASKED_OF_CONSUMERS, CONSUMERS, LOOK_UP_CLAIMS, UPDATE_CLAIMS

SUBSCRIBERS_AT_ONCE = 10_000
ACKNOWLEDGEMENTS = "$JS.ACK.>"
VIEWS = ("VIEW-REG", "VIEW-EP", "FLOW")
"""What subscribers call the streams of views and of flows, whatever epoch they are in."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The accounts' public keys, and the key that signs subscribers for theirs."""

    system: str
    programs: str
    gateways: str
    subscribers: str
    subscribers_signer: str


@dataclass(frozen=True, slots=True)
class Admission:
    """What changes of the subscribers' account: who is revoked, and the epochs that the streams of views are in."""

    revoked: Mapping[str, int] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)


def system(keys: Keys) -> Account:
    return Account("system", keys.system, exports=(Service(LOOK_UP_CLAIMS), Service(UPDATE_CLAIMS)))


def programs(keys: Keys) -> Account:
    asked = [Service(f"{CONSUMERS}.{verb}.*.*", stream=verb == "MSG.NEXT") for verb in ASKED_OF_CONSUMERS]
    return Account(
        "programs",
        keys.programs,
        jetstream=True,
        exports=[*asked, Service(ACKNOWLEDGEMENTS)],
        imports=[Imported(LOOK_UP_CLAIMS, keys.system), Imported(UPDATE_CLAIMS, keys.system)],
    )


def gateways(keys: Keys) -> Account:
    asked = [Imported(f"{CONSUMERS}.{verb}.*.*", keys.programs) for verb in ASKED_OF_CONSUMERS]
    return Account("gateways", keys.gateways, imports=[*asked, Imported(ACKNOWLEDGEMENTS, keys.programs)])


def subscribers(keys: Keys, admission: Admission) -> Account:
    """Of the streams only those of views are known here, by names that stay the same in every epoch."""
    asked = [
        Imported(
            f"{CONSUMERS}.{verb}.{view}-{admission.epochs.get(view, 1)}.*",
            keys.programs,
            f"{CONSUMERS}.{verb}.{view}.$1",
        )
        for verb in ASKED_OF_CONSUMERS
        for view in VIEWS
    ]
    return Account(
        "subscribers",
        keys.subscribers,
        connections=SUBSCRIBERS_AT_ONCE,
        imports=[*asked, Imported(ACKNOWLEDGEMENTS, keys.programs)],
        signers=(keys.subscribers_signer,),
        revoked=admission.revoked,
    )
