"""Past: its pages."""

from fastapi import APIRouter

from services.console.past import auditing, proofs, sliding

router = APIRouter()
for part in (sliding, auditing, proofs):
    router.include_router(part.router)
