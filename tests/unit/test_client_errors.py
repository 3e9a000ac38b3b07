"""From gRPC's status to an error of the client's."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure, RetryInfo

from sidegate import errors
from tests.support.fake_sidegate.script import status

ADDRESS = "127.0.0.1:7001"


def error_of(code: grpc.StatusCode, text: str, *details: Message) -> errors.SidegateError:
    trailing = grpc.aio.Metadata(*status(code, text, *details).trailing_metadata or ())
    return errors.of(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=text), ADDRESS)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *errors.KINDS.items(),
        (grpc.StatusCode.INTERNAL, errors.Unexpected),
        (grpc.StatusCode.UNKNOWN, errors.Unexpected),
    ],
    ids=lambda value: value.name if isinstance(value, grpc.StatusCode) else value.__name__,
)
def test_every_status_has_its_error_with_the_servers_words_and_reason(
    code: grpc.StatusCode, kind: type[errors.SidegateError]
) -> None:
    error = error_of(code, "so it is", ErrorInfo(reason="WHY", domain="sidegate", metadata={"kind": "vpc"}))
    assert type(error) is kind
    assert (error.text, str(error), error.reason, error.metadata) == ("so it is", "so it is", "WHY", {"kind": "vpc"})


def test_the_field_at_fault_is_named() -> None:
    violations = [BadRequest.FieldViolation(field="vpc.cidrs[0]", description="no")]
    error = error_of(grpc.StatusCode.INVALID_ARGUMENT, "no", BadRequest(field_violations=violations))
    assert error.field == "vpc.cidrs[0]"


def test_what_stands_in_the_way_is_named() -> None:
    violations = [PreconditionFailure.Violation(type="BLOCKER", subject=each) for each in ("e1", "e2")]
    error = error_of(grpc.StatusCode.FAILED_PRECONDITION, "no", PreconditionFailure(violations=violations))
    assert error.blockers == ("e1", "e2")


def test_when_to_try_again_is_in_seconds() -> None:
    error = error_of(grpc.StatusCode.UNAVAILABLE, "no", RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)))
    assert error.retry_after == 1.5


def test_without_details_only_the_status_is_known() -> None:
    error = error_of(grpc.StatusCode.FAILED_PRECONDITION, "no")
    assert (error.reason, error.field, error.metadata, error.blockers) == ("FAILED_PRECONDITION", "", {}, ())
    assert error.retry_after is None


def test_malformed_details_do_not_hide_the_failure() -> None:
    trailing = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    raw = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing, details="gone")
    error = errors.of(raw, ADDRESS)
    assert isinstance(error, errors.NotFound)
    assert error.text == "gone"


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED]
)
def test_where_nothing_of_ours_answered_the_address_is_named(code: grpc.StatusCode) -> None:
    assert ADDRESS in error_of(code, "failed to connect to all addresses").text


def test_an_answer_in_time_that_never_came_is_a_kind_of_unavailable() -> None:
    assert issubclass(errors.TimedOut, errors.Unavailable)
