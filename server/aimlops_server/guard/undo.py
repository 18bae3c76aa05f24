"""How to take a change back, as the call that does it, and what no call brings back."""

from typing import Any

from aimlops_tools.models.platforms import AiMlOpsPlatformDetailResponse, DeletePlatform, UpdatePlatform


def undo_create(release_id: str) -> dict[str, Any]:
    """For a create: the delete."""
    return {"tool": "delete_platform", "arguments": {"release_id": release_id}}


def undo_update(update: UpdatePlatform, live: AiMlOpsPlatformDetailResponse) -> dict[str, Any] | None:
    """For an update: the call that restores the former endpoint. A DNS record is not restored: its id is not known."""
    undo: dict[str, Any] = {}
    former = live.ai_ml_ops_platform_endpoint_type
    if update.ai_ml_ops_platform_endpoint_type and former in {"Public", "Private"}:
        arguments = {"release_id": update.release_id, "ai_ml_ops_platform_endpoint_type": former}
        undo = {"tool": "update_platform", "arguments": arguments}
    if update.ai_ml_ops_platform_domain_service:
        undo["not_restored"] = f"the DNS record; before: {live.ai_ml_ops_platform_domain_service or 'none'}"
    return undo or None


def undo_delete(delete: DeletePlatform, live: AiMlOpsPlatformDetailResponse) -> dict[str, Any]:
    """For a delete: the create that makes a platform like it, and what is lost all the same."""
    platform = {
        "release_name": live.release_name,
        "ai_ml_ops_platform_type": live.ai_ml_ops_platform_type,
        "image_id": live.image_id,
        "cluster_id": None if delete.with_k8s else live.cluster_id,
        "ai_ml_ops_platform_endpoint_type": live.ai_ml_ops_platform_endpoint_type,
        "storage_class_name": live.storage_class_name,
        "initial_user_email": live.initial_user_email,
        "initial_user_password": "env:SCP_MCP_SECRET_PASSWORD",
    }
    lost = "notebooks, pipelines, models, volumes, users, the DNS record and the password"
    return {
        "tool": "create_platform",
        "arguments": {"ai_ml_ops_platform_create_request": {k: v for k, v in platform.items() if v}},
        "not_restored": f"{lost}; a new cluster needs its own two objects" if delete.with_k8s else lost,
    }
