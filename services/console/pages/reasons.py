"""What the services' reasons mean, for people: in English here, in other languages in the catalogues."""

from collections.abc import Mapping

from services.console.pages.words import marked as _
from sidegate import errors

REASONS: Mapping[str, str] = {
    "NO_ADDRESS": _("This part of Sidegate is not running here."),
}
"""By reason. What is not here is said in the service's own words."""

WAYS_OUT: Mapping[type[errors.SidegateError], str] = {
    errors.Outdated: _("Somebody changed it after this page was made. Read what it is now, then decide again."),
    errors.Unavailable: _("Try again in a moment; nothing was lost."),
    errors.TimedOut: _("Whether it was done is unknown: send the form again, it is done once."),
    errors.Forbidden: _("Your key may not do this. Ask whoever owns the account for another, or the operator."),
    errors.NotFound: _("It was deleted, or it is not yours."),
}
