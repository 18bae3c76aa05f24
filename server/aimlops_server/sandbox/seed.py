"""The account a sandbox starts with: enough of everything to rehearse each operation, the destructive ones included.

Knows data only. Every id is fixed, so documents and tests can name it; times are relative to the clock's value when the
world is made.
"""

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

from aimlops_server.sandbox.neighbours.seed import (
    GPU_SERVER_TYPE_ID,
    MAIN_SUBNET_ID,
    MAIN_VPC_ID,
    NFS_VOLUME_ID,
    OTHER_SUBNET_ID,
    OTHER_VPC_ID,
    SECOND_NFS_VOLUME_ID,
    SECOND_SECURITY_GROUP_ID,
    SECURITY_GROUP_ID,
    SERVER_TYPE_ID,
    SERVER_TYPES,
    seeded_neighbours,
)
from aimlops_server.sandbox.world import (
    INSTALL_S,
    NEW_CLUSTER_S,
    ChangeKind,
    Cluster,
    Endpoint,
    Image,
    Network,
    NodePool,
    Platform,
    Transition,
    World,
    derived_id,
    make_nodes,
    make_storage_classes,
)

PROJECT_ID = "5f8cca73eed22b781d14cb56f81d5b82"
PROJECT_NAME = "AI플랫폼팀"
USER_ID = "072b9b9b33e066d1c8f8deb841361dba"
OTHER_USER_ID = "6df276c6fcf2d81d7ac4824797ec4e81"

ENTERPRISE_IMAGE_ID = "IMAGE-R=HXHY3ccc9f3TSVtPpPFR"
MINI_IMAGE_ID = "IMAGE-Wd=m4Kq2vLw7ZtNc4YbXs1"

# RUNNING, large enough for Enterprise, nothing installed.
FREE_CLUSTER_ID = "a1d48dd8d3e5e2c386e698420defd030"
# The same, with a GPU node.
FREE_GPU_CLUSTER_ID = "e73f7351c8a96b39d4f68122c3e1b509"
# RUNNING and free, but too small for either product type.
SMALL_CLUSTER_ID = "dbfad22e03041589270b902305631b24"
# Still being built when the sandbox starts.
CREATING_CLUSTER_ID = "c2ec482d617fa1d20587e944268b4d4e"
# RUNNING, no release, but the product's namespaces are there.
INSTALLED_CLUSTER_ID = "77afa248367be6faab799536d7a131d7"
# Carries two releases.
SHARED_CLUSTER_ID = "29ad8d0d84727610e6f85bdebfe4e70d"
# Carries DEPLOYED_RELEASE_ID; one of its nodes has GPUs.
DEPLOYED_CLUSTER_ID = "a2f6e1b0089a58d38ce8f3bd4a748a48"

DEPLOYED_RELEASE_ID = "13f7a9d4c1964020f4afc730b7146ed0"
DEPLOYED_RELEASE_NAME = "fraud-detection"
# Its cluster was removed behind its back: cluster_name and cluster_state are null.
FAILED_RELEASE_ID = "9b2bc443db48f97ba3be109bad017778"
CREATING_RELEASE_ID = "3d29bdb77b3f200cda4ad26cbe57f2f8"
SHARED_RELEASE_IDS = ("86e5c363e3a3dfc013ffba546305e162", "3b0674e06316bf8e701b59747034e20f")
KOREAN_RELEASE_ID = "986d2d6b4ae7eb5352970658faa9c688"
KOREAN_RELEASE_NAME = "추천모델-학습"

SEEDED_PLATFORMS = 45

_DAY_S = 24 * 60 * 60
_MAIN_NETWORK = Network(MAIN_VPC_ID, MAIN_SUBNET_ID, (SECURITY_GROUP_ID,), NFS_VOLUME_ID)
_OTHER_NETWORK = Network(
    OTHER_VPC_ID, OTHER_SUBNET_ID, (SECURITY_GROUP_ID, SECOND_SECURITY_GROUP_ID), SECOND_NFS_VOLUME_ID, True
)
_TEAMS = (
    "제조-불량검출",
    "고객-이탈예측",
    "demand-forecast",
    "document-ocr",
    "수요예측",
    "speech-to-text",
    "물류-최적화",
)


def seeded_world(clock_s: Callable[[], float]) -> World:
    """A new world as of now."""
    now_s = clock_s()
    clusters = _clusters(now_s)
    platforms = _named_platforms(now_s)
    for number in range(SEEDED_PLATFORMS - len(platforms)):
        name = f"{_TEAMS[number % len(_TEAMS)]}-{number + 1:02d}"
        cluster = _cluster(derived_id("cluster", name), f"cluster-{number + 1:02d}", now_s - (60 + number) * _DAY_S)
        kind = "Mini" if number % 3 == 0 else "Enterprise"
        platform = _platform(derived_id("release", name), name, kind, cluster.cluster_id, now_s - (4 + number) * _DAY_S)
        if number % 4 == 0:
            platform = replace(platform, version="v1.7.1", created_by=OTHER_USER_ID)
        if number % 5 == 0:
            platform = replace(platform, modified_by=OTHER_USER_ID, modified_s=platform.created_s + _DAY_S)
        if number % 3 == 1:
            cluster = replace(cluster, network=_OTHER_NETWORK)
        clusters += (cluster,)
        platforms += (platform,)
    return World(clock_s, seeded_neighbours(now_s), platforms, clusters, _images(now_s))


def _named_platforms(now_s: float) -> tuple[Platform, ...]:
    first, second = SHARED_RELEASE_IDS
    creating = _platform(CREATING_RELEASE_ID, "churn-study", "Mini", derived_id("cluster", "churn"), now_s - 3 * 60)
    # The install alone is left to do when the world starts.
    creating = replace(creating, transition=Transition(ChangeKind.CREATE, now_s - 3 * 60, INSTALL_S))
    failed = _platform(FAILED_RELEASE_ID, "실패한-배포", "Enterprise", derived_id("no cluster"), now_s - 2 * _DAY_S)
    failed = replace(failed, transition=replace(failed.transition, fails=True), storage_class_name=None)
    deployed = _platform(DEPLOYED_RELEASE_ID, DEPLOYED_RELEASE_NAME, "Enterprise", DEPLOYED_CLUSTER_ID, now_s - _DAY_S)
    korean_cluster_id = derived_id("cluster", "korean")
    korean = _platform(KOREAN_RELEASE_ID, KOREAN_RELEASE_NAME, "Enterprise", korean_cluster_id, now_s - 3 * _DAY_S)
    # Two releases on one cluster cannot be made here: these stand for a cluster that was shared before the rule.
    shared = (
        _platform(first, "shared-training", "Enterprise", SHARED_CLUSTER_ID, now_s - 9.5 * _DAY_S),
        _platform(second, "shared-serving", "Mini", SHARED_CLUSTER_ID, now_s - 8.5 * _DAY_S),
    )
    return creating, failed, deployed, korean, *shared


def _platform(release_id: str, name: str, kind: str, cluster_id: str, created_s: float) -> Platform:
    mini = kind == "Mini"
    last = int(release_id[:2], 16) % 250 + 1
    return Platform(
        release_id=release_id,
        release_name=name,
        ai_ml_ops_platform_type=kind,
        version="v1.9.1" if mini else "v1.9.2",
        cluster_id=cluster_id,
        image_id=MINI_IMAGE_ID if mini else ENTERPRISE_IMAGE_ID,
        image_name="AIMLOps Platform 1.9.1" if mini else "AIMLOps Platform 1.9.2",
        initial_user_email="mlops@example.com",
        created_by=USER_ID,
        created_s=created_s,
        transition=Transition(ChangeKind.CREATE, created_s, INSTALL_S),
        endpoint=Endpoint("Private", f"192.168.3.{last}"),
        storage_class_name="nfs-subdir-external-sc",
    )


def _clusters(now_s: float) -> tuple[Cluster, ...]:
    old_s = now_s - 90 * _DAY_S
    small = _cluster(SMALL_CLUSTER_ID, "small-lab", old_s)
    building = _cluster(CREATING_CLUSTER_ID, "being-built", now_s - 5 * 60)
    installed = _cluster(INSTALLED_CLUSTER_ID, "left-over", old_s)
    return (
        _cluster(FREE_CLUSTER_ID, "free-cluster", old_s),
        _with_gpus(_cluster(FREE_GPU_CLUSTER_ID, "free-gpu-cluster", old_s)),
        replace(small, pools=(_pool(small.name, "pool", "s1v2m8", 1),)),
        replace(building, transition=Transition(ChangeKind.CREATE, now_s - 5 * 60, NEW_CLUSTER_S)),
        replace(installed, has_namespaces=True),
        _cluster(SHARED_CLUSTER_ID, "shared-cluster", old_s),
        _with_gpus(_cluster(DEPLOYED_CLUSTER_ID, "cluster-fraud", old_s)),
        _cluster(derived_id("cluster", "churn"), "cluster-churn", old_s),
        _cluster(derived_id("cluster", "korean"), "추천-클러스터", old_s),
    )


def _cluster(cluster_id: str, name: str, created_s: float) -> Cluster:
    return Cluster(
        cluster_id=cluster_id,
        name=name,
        kubernetes_version="v1.33.5",
        network=_MAIN_NETWORK,
        pools=(_pool(name, "pool", SERVER_TYPE_ID, 3),),
        storage_classes=make_storage_classes(name),
        transition=Transition(ChangeKind.CREATE, created_s, NEW_CLUSTER_S),
    )


def _with_gpus(cluster: Cluster) -> Cluster:
    gpus = _pool(cluster.name, "gpu", GPU_SERVER_TYPE_ID, 1)
    return replace(cluster, pools=(gpus, _pool(cluster.name, "pool", SERVER_TYPE_ID, 2, first=2)))


def _pool(cluster_name: str, name: str, server_type_id: str, count: int, first: int = 1) -> NodePool:
    nodes = make_nodes(cluster_name, name, SERVER_TYPES[server_type_id], count, first)
    return NodePool(name, server_type_id, "ubuntu", "22.04", nodes)


def _images(now_s: float) -> tuple[Image, ...]:
    icon = base64.b64encode(_png()).decode()
    return tuple(
        Image(
            image_id=image_id,
            image_name=f"AIMLOps Platform {version}",
            product_type=kind,
            # One image leaves the field null, so that a reader must fall back on the base image's name.
            shows_product_type=kind == "Enterprise",
            base_image=f"sdskubeflow-{kind.lower()}:{version}",
            description=_description(kind, version),
            icon_file=icon,
            icon_file_name=f"{kind.lower()}.png",
            created_s=now_s - age_days * _DAY_S,
        )
        for image_id, kind, version, age_days in (
            (ENTERPRISE_IMAGE_ID, "Enterprise", "1.9.2", 150),
            (MINI_IMAGE_ID, "Mini", "1.9.1", 170),
        )
    )


def _description(kind: str, version: str) -> str:
    # Live descriptions are very large HTML texts with styling of their own.
    head = f"<style>.k{{color:#1428a0}}</style><h1>AI&amp;MLOps Platform {kind} {version}</h1>"
    part = (
        '<div class="k"><p>A managed <b>Kubeflow</b> for training and serving models.</p>'
        "<p>머신러닝 모델의 학습과 배포를 위한 관리형 플랫폼입니다.</p>"
        "<ul><li>Notebooks</li><li>Pipelines</li></ul></div>"
    )
    return head + part * 350


def _png(side: int = 16) -> bytes:
    """A square of one colour as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\x14\x28\xa0" * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
