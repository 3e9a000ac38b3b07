"""Access keys and identities in words, and the file that makes a tenant's command line work."""

from sidegate.api.registry.v1.account_pb2 import AccessKey, Role
from sidegate.api.registry.v1.account_service_pb2 import AccessKeySecret, Identity
from sidegate.cli import facts
from sidegate.cli.facts import Json
from sidegate.cli.session import Session
from sidegate.cli.view import View, sheet
from sidegate.project_ids import project_id

SHOWN_ONCE = "the secret is shown this once: keep it, with `-o json > FILE` as a file for SIDEGATE_CONFIG"
NOT_SHOWN = "the secret was shown before, and is not again: `sidegate key rotate` makes another"


def secret(session: Session, made: AccessKeySecret) -> View:
    """A key with its secret, and all that its owner's command line needs: `-o json` of it is a file for that."""
    key, found = made.key, session.addresses
    told: dict[str, Json] = {
        "account": key.account,
        "project": key.project,
        "access_key": key.id,
        "secret_key": made.secret_key,
        "role": word(key),
        "project_id": project_id(key.account, key.project),
        "domain_id": key.account,
    }
    where: dict[str, Json] = {
        "registry": {"grpc": found.registry},
        "endpoint": {"grpc": found.endpoint},
        "http_api": {"https": found.https},
        "ca": found.ca.decode(),
    }
    rows = {name.replace("_", " "): str(value) for name, value in told.items()}
    return View({**told, **where}, lambda _: sheet(rows), remark=SHOWN_ONCE if made.secret_key else NOT_SHOWN)


def identity(found: Identity) -> View:
    """Who the caller is."""
    told = {
        "account": found.account,
        "project": found.project,
        "role": facts.word(Role.DESCRIPTOR, found.role),
        "access_key": found.access_key,
        "acting": found.acting,
    }
    return View(dict(told), lambda _: sheet({name.replace("_", " "): value for name, value in told.items()}))


def word(key: AccessKey) -> str:
    return facts.word(Role.DESCRIPTOR, key.role)
