"""A slash at the end of a path, which means nothing: signers add one, and clients may."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Slashes:
    """Routes see paths without. The signature is checked over the path as it came; it is the same either way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", ""))
        if len(path) > 1 and path.endswith("/"):
            scope["path"] = path.rstrip("/") or "/"
        await self._app(scope, receive, send)
