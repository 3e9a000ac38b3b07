"""How an endpoint is, in sentences."""

from collections.abc import Iterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from markupsafe import Markup, escape

from services.console.endpoints.messages import said
from services.console.pages.rendering import moment
from services.console.pages.words import gettext as _
from sidegate.api.endpoint.v1.endpoint_pb2 import ConnectionState, Endpoint
from sidegate.topology.graph import Tone

DECIDED = (ConnectionState.CONNECTION_STATE_CREATING, ConnectionState.CONNECTION_STATE_ACCEPTED)
"""States in which it depends on gateways whether packets pass."""


def put(sentence: str, **values: object) -> Markup:
    """A sentence in which values stand that may be markup; what is not is escaped."""
    return Markup(escape(sentence)) % values  # noqa: S704 # it is escaped


def told(endpoint: Endpoint, since: Timestamp) -> Sequence[Markup]:
    """Its state, since when, whether packets pass, and what is to be expected."""
    return [*_state(endpoint, since), *_passage(endpoint), *_outlook(endpoint)]


def tone(endpoint: Endpoint) -> Tone:
    """As the state; an accepted endpoint without packets is not well."""
    match endpoint.state:
        case ConnectionState.CONNECTION_STATE_ACCEPTED:
            return Tone.GOOD if endpoint.ready.status else Tone.BAD
        case ConnectionState.CONNECTION_STATE_REJECTED | ConnectionState.CONNECTION_STATE_FAILED:
            return Tone.BAD
        case _:
            return Tone.WAITING


def _state(endpoint: Endpoint, since: Timestamp) -> Iterator[Markup]:
    at, service = moment(since), endpoint.service_full_name
    match endpoint.state:
        case ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE:
            sentence = _("Waits for the owner of %(service)s since %(at)s. No packet passes before it is accepted.")
            yield put(sentence, service=service, at=at)
        case ConnectionState.CONNECTION_STATE_CREATING:
            yield put(_("Approved at %(at)s; its gateways are being told."), at=at)
        case ConnectionState.CONNECTION_STATE_ACCEPTED:
            yield put(_("Accepted since %(at)s."), at=at)
        case ConnectionState.CONNECTION_STATE_REJECTED if endpoint.rejection:
            sentence = _("Rejected since %(at)s: %(reason)s. No packet passes; what it has is kept.")
            yield put(sentence, at=at, reason=said(endpoint.rejection))
        case ConnectionState.CONNECTION_STATE_REJECTED:
            sentence = _("The owner of %(service)s rejected it at %(at)s. No packet passes; what it has is kept.")
            yield put(sentence, service=service, at=at)
        case ConnectionState.CONNECTION_STATE_FAILED:
            sentence = _("It failed at %(at)s: %(reason)s. No packet passes: delete it, and request another.")
            yield put(sentence, at=at, reason=said(endpoint.failure))
        case _:
            yield put(_("Being deleted since %(at)s."), at=at)


def _passage(endpoint: Endpoint) -> Iterator[Markup]:
    if endpoint.state not in DECIDED:
        return
    if endpoint.ready.status:
        yield put(_("Packets pass."))
        return
    at, reason = moment(endpoint.ready.since), said(endpoint.ready.reason)
    yield put(_("Packets do not pass since %(at)s: %(reason)s."), at=at, reason=reason)


def _outlook(endpoint: Endpoint) -> Iterator[Markup]:
    pending = endpoint.state == ConnectionState.CONNECTION_STATE_PENDING_ACCEPTANCE
    if endpoint.HasField("expire_time"):
        at = moment(endpoint.expire_time)
        yield (
            put(_("Without a decision it is rejected at %(at)s."), at=at)
            if pending
            else put(_("The acceptance ends at %(at)s."), at=at)
        )
    if endpoint.HasField("drain_end_time"):
        at = moment(endpoint.drain_end_time)
        yield put(_("Sessions that were established before go on until %(at)s."), at=at)
    if endpoint.state in DECIDED and endpoint.sources.reason:
        yield put(_("Sessions: %(reason)s."), reason=said(endpoint.sources.reason))
