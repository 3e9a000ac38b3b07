"""What shares its stream with others has an etag of its own: it changes with it, and with nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from sidegate import errors
from sidegate.api.registry.v1 import account_pb2, vpc_pb2
from sidegate.api.registry.v1 import account_service_pb2 as accounts_pb2
from sidegate.api.registry.v1 import registry_service_pb2 as registry_pb2
from tests.support.registry_service import RegistryWorld, running_registry


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[RegistryWorld]:
    async with running_registry(tmp_path) as running:
        yield running


async def test_a_subnets_etag_is_its_own(world: RegistryWorld) -> None:
    ask, stub = world.payments.ask, world.payments.stub
    vpc = await world.payments.vpc()
    made = await world.payments.subnet(vpc, "10.0.0.0/25")
    await world.payments.subnet(vpc, "10.0.0.128/25", name="other")
    assert await ask(stub.GetSubnet, registry_pb2.GetSubnetRequest(id=made.id)) == made

    def renaming(name: str, etag: str) -> registry_pb2.UpdateSubnetRequest:
        wanted = vpc_pb2.Subnet(id=made.id, name=name, etag=etag)
        return registry_pb2.UpdateSubnetRequest(subnet=wanted, update_mask=FieldMask(paths=["name"]))

    changed = await ask(stub.UpdateSubnet, renaming("front", made.etag))
    assert changed.etag != made.etag
    assert await ask(stub.GetSubnet, registry_pb2.GetSubnetRequest(id=made.id)) == changed
    late: list[tuple[Any, Any]] = [
        (stub.UpdateSubnet, renaming("back", made.etag)),
        (stub.DeleteSubnet, registry_pb2.DeleteSubnetRequest(id=made.id, etag=made.etag)),
    ]
    for method, request in late:
        with pytest.raises(errors.Outdated):
            await ask(method, request)
    await ask(stub.DeleteSubnet, registry_pb2.DeleteSubnetRequest(id=made.id, etag=changed.etag))


async def test_a_default_attachment_is_set_and_taken_away_as_it_was_read(world: RegistryWorld) -> None:
    ask, stub = world.operator.ask, world.operator.stub

    def setting(namespace: str, etag: str = "") -> registry_pb2.SetDefaultAttachmentRequest:
        pattern = vpc_pb2.NetnsPattern(namespace=namespace)
        wanted = vpc_pb2.DefaultAttachment(cell="east", netns=pattern, etag=etag)
        return registry_pb2.SetDefaultAttachmentRequest(default_attachment=wanted)

    first = await ask(stub.SetDefaultAttachment, setting("a-{vpc_id}"))
    second = await ask(stub.SetDefaultAttachment, setting("b-{vpc_id}", first.etag))
    listed = await ask(stub.ListDefaultAttachments, registry_pb2.ListDefaultAttachmentsRequest(want_total=True))
    assert (list(listed.default_attachments), listed.total_size) == ([second], 1)
    with pytest.raises(errors.Outdated):
        await ask(stub.SetDefaultAttachment, setting("c-{vpc_id}", first.etag))
    deletion = registry_pb2.DeleteDefaultAttachmentRequest(cell="east", etag=first.etag)
    with pytest.raises(errors.Outdated):
        await ask(stub.DeleteDefaultAttachment, deletion)
    deletion.etag = second.etag
    await ask(stub.DeleteDefaultAttachment, deletion)


async def test_writes_of_accounts_and_keys_can_be_only_validated_and_hold_to_an_etag(world: RegistryWorld) -> None:
    ask, stub = world.operator.ask, world.operator.accounts
    trial = accounts_pb2.CreateAccountRequest(account=account_pb2.Account(name="bank"), validate_only=True)
    assert (await ask(stub.CreateAccount, trial)).key.secret_key == ""
    with pytest.raises(errors.NotFound):
        await ask(stub.GetAccount, accounts_pb2.GetAccountRequest(name="bank"))
    trial.validate_only = False
    made = await ask(stub.CreateAccount, trial)
    account, key = made.account, made.key.key
    before = await world.store.head()
    project: Any = {"account": "bank", "project": "live"}
    wanted = account_pb2.AccessKey(account="bank", project="default", role=account_pb2.ROLE_VIEWER)
    trials: list[tuple[Any, Any]] = [
        (stub.CreateProject, accounts_pb2.CreateProjectRequest(validate_only=True, etag=account.etag, **project)),
        (stub.CreateAccessKey, accounts_pb2.CreateAccessKeyRequest(key=wanted, validate_only=True)),
        (stub.RotateAccessKey, accounts_pb2.RotateAccessKeyRequest(id=key.id, validate_only=True, etag=key.etag)),
        (stub.RevokeAccessKey, accounts_pb2.RevokeAccessKeyRequest(id=key.id, validate_only=True, etag=key.etag)),
    ]
    answers = [await ask(method, request) for method, request in trials]
    assert [answers[1].secret_key, answers[2].secret_key] == ["", ""]
    assert (answers[2].key.generation, answers[3].HasField("revoke_time")) == (2, True)
    assert await world.store.head() == before
    assert not list(world.access.tokens.ended), "tokens of a key that was rotated on trial are worth what they were"

    changed = await ask(stub.CreateProject, accounts_pb2.CreateProjectRequest(etag=account.etag, **project))
    rotated = await ask(stub.RotateAccessKey, accounts_pb2.RotateAccessKeyRequest(id=key.id, etag=key.etag))
    assert await ask(stub.GetAccount, accounts_pb2.GetAccountRequest(name="bank")) == changed
    (listed,) = (await ask(stub.ListAccessKeys, accounts_pb2.ListAccessKeysRequest(account="bank"))).keys
    assert listed == rotated.key
    late: list[tuple[Any, Any]] = [
        (stub.CreateProject, accounts_pb2.CreateProjectRequest(account="bank", project="b", etag=account.etag)),
        (stub.RotateAccessKey, accounts_pb2.RotateAccessKeyRequest(id=key.id, etag=key.etag)),
        (stub.RevokeAccessKey, accounts_pb2.RevokeAccessKeyRequest(id=key.id, etag=key.etag)),
    ]
    for method, request in late:
        with pytest.raises(errors.Outdated):
            await ask(method, request)
    revocation = accounts_pb2.RevokeAccessKeyRequest(id=key.id, etag=rotated.key.etag)
    assert (await ask(stub.RevokeAccessKey, revocation)).HasField("revoke_time")
