"""As much of IAM as the SDK and Terraform ask before they come to the point."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.http_api.iam import projects

ROUTERS: Sequence[APIRouter] = (projects.router,)
