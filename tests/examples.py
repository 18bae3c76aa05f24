"""One valid call of every operation, for tests that walk all of them."""

from typing import Any

from aimlops_server.sandbox.seed import DEPLOYED_CLUSTER_ID, DEPLOYED_RELEASE_ID, FREE_CLUSTER_ID

from tests.world import NEW_CLUSTER, create_arguments

DEPLOYED_CLUSTER_NAME = "cluster-fraud"
DEPLOYED_RELEASE_NAME = "fraud-detection"

EXAMPLES: dict[str, dict[str, Any]] = {
    "list_platforms": {
        "size": 5,
        "page": 1,
        "sort": "release_name:asc",
        "release_name": "한글 a/b?c&d=e+f",
        "kubeflow_type": "Mini",
        "status": "DEPLOYED",
        "created_by": "u",
        "cluster_name": "c",
        "version": "v1.9.1",
    },
    "get_platform": {"release_id": DEPLOYED_RELEASE_ID},
    "create_platform": {**create_arguments(cluster_id=None), **NEW_CLUSTER},
    "update_platform": {
        "release_id": DEPLOYED_RELEASE_ID,
        "ai_ml_ops_platform_endpoint_type": "Public",
        "ai_ml_ops_platform_domain_service": {
            "operation_type": "CREATE",
            "dns_id": "acdd205d-b1d3-44e7-ab7a-429ca090e941",
            "record_name": "sample",
            "domain_service_name": "sample.example.com",
            "ip": "192.0.2.7",
        },
    },
    "delete_platform": {"release_id": DEPLOYED_RELEASE_ID, "with_k8s": True},
    "check_platform_name": {"release_name": "aiml test"},
    "list_images": {"image_name": "AIMLOps Platform 1.9.2"},
    "list_nodes": {"cluster_id": DEPLOYED_CLUSTER_ID, "size": 2},
    "list_storage_classes": {"cluster_id": DEPLOYED_CLUSTER_ID},
    "check_cluster_version": {"cluster_id": FREE_CLUSTER_ID, "version": "1.33.5"},
    "validate_cluster_namespace": {"cluster_id": FREE_CLUSTER_ID},
    "validate_cluster_resources": {"cluster_id": FREE_CLUSTER_ID, "product_type": "Enterprise"},
}

CONFIRMATIONS: dict[str, dict[str, Any]] = {
    "create_platform": {"confirm": True},
    "update_platform": {"confirm": True},
    "delete_platform": {"release_name": DEPLOYED_RELEASE_NAME, "cluster_name": DEPLOYED_CLUSTER_NAME},
}
