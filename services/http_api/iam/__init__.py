"""As much of IAM as the SDK and Terraform ask before they come to the point."""

from collections.abc import Sequence

from fastapi import APIRouter

from services.http_api.iam import domains, projects, tokens

ROUTERS: Sequence[APIRouter] = (projects.router, domains.router, tokens.router)
