"""What is Sidegate's own, under /sidegate/v1 and in headers of its own."""

from collections.abc import Sequence

from fastapi import APIRouter

ROUTERS: Sequence[APIRouter] = ()
