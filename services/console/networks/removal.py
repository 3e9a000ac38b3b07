"""Deleting what is in a VPC, and the VPC itself."""

from services.console.pages.forms import Typed
from services.console.pages.words import gettext as _
from services.console.sessions.session import Session
from sidegate import errors
from sidegate.conditions import under


async def remove(session: Session, vpc_id: str, form: Typed) -> str:
    """Deletes what the form names, if it is still what its page showed; says so. Raises SidegateError."""
    client, id_, request_id = session.client, form.text("id"), form.request_id
    with under(etag=form.etag):
        match form.text("what"):
            case "vpc":
                await client.vpcs.delete(vpc_id, request_id=request_id)
                return _("The VPC is deleted.")
            case "subnet":
                await client.subnets.delete(id_, request_id=request_id)
                return _("The subnet is deleted.")
            case "port":
                await client.ports.delete(id_, request_id=request_id)
                return _("The port is deleted; its address is free.")
            case "route_table":
                await client.route_tables.delete(id_, request_id=request_id)
                return _("The route table is deleted; its subnets are in the default one.")
            case "resolver":
                await client.vpcs.delete_resolver(vpc_id, request_id=request_id)
                return _("The name server is taken away; its address is free.")
            case what:
                raise errors.InvalidRequest(f"nothing is called {what[:20]!r} here", field="what")
