"""What can be read without calling a tool: platforms, images with their icons, clusters, and what the tools are."""

import base64
import json
import mimetypes
import re
from dataclasses import dataclass
from typing import Any, ClassVar, cast
from urllib.parse import quote, unquote, unquote_to_bytes

import anyio
from aimlops_tools import Operation
from aimlops_tools.models.clusters import ListNodes, ListStorageClasses
from aimlops_tools.models.images import AiMlOpsPlatformImagesResponse, ListImages
from aimlops_tools.models.platforms import GetPlatform, ListPlatforms
from aimlops_tools.operation import Answer
from aimlops_tools.reference import operations_table, procedures_table
from aimlops_tools.text import plain
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from aimlops_server.arguments import parse_arguments, problems_of
from aimlops_server.client import ApiClient
from aimlops_server.errors import AimlopsError, InvalidArguments, Refused
from aimlops_server.paging import walk

SCHEME = "aimlops"
JSON = "application/json"
MAX_LISTED = 200
MAX_ICON_BYTES = 1024 * 1024
# A client lists resources while it starts: it gets the fixed entries rather than a long wait.
LISTING_WAIT_S = 10.0

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"<svg": "image/svg+xml",
    b"<?xml": "image/svg+xml",
}

_PICTURE = re.compile(r"image/[a-z0-9.+-]{1,60}")

FIXED = (
    Resource(uri=f"{SCHEME}://platforms", name="platforms", title="All platforms", mime_type=JSON),
    Resource(uri=f"{SCHEME}://images", name="images", title="All images", mime_type=JSON),
    Resource(
        uri=f"{SCHEME}://reference", name="reference", title="The API's operations and tools", mime_type="text/markdown"
    ),
)
TEMPLATES = ListResourceTemplatesResult(
    resource_templates=[
        ResourceTemplate(uri_template=f"{SCHEME}://{path}", name=name, title=title, mime_type=mime_type)
        for path, name, title, mime_type in (
            ("platforms/{release_id}", "platform", "One platform", JSON),
            ("images/{image_id}", "image", "One image", JSON),
            ("images/{image_id}/icon", "image_icon", "An image's icon", None),
            ("clusters/{cluster_id}/nodes", "nodes", "A cluster's nodes", JSON),
            ("clusters/{cluster_id}/storage-classes", "storage_classes", "A cluster's storage classes", JSON),
        )
    ]
)


# No id is one of these, and no request is made to find that out.
_UNSAFE = frozenset({"", ".", ".."})


class NoSuchResource(Exception):
    """The URI names nothing that is served, or nothing that exists."""


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of one server."""

    api: ApiClient
    listing_wait_s: float = LISTING_WAIT_S
    templates: ClassVar[ListResourceTemplatesResult] = TEMPLATES

    async def listing(self) -> ListResourcesResult:
        """The fixed entries, then the images and platforms there are; without keys or network the fixed ones alone."""
        listed = list(FIXED)
        with anyio.move_on_after(self.listing_wait_s):
            try:
                for image in await walk(self.api, ListImages(size=100), MAX_LISTED):
                    listed += _image_entries(image)
                for platform in await walk(self.api, ListPlatforms(size=100), MAX_LISTED):
                    listed.append(
                        Resource(
                            uri=platform_uri(platform.release_id),
                            name=platform.release_name,
                            title=f"Platform {platform.release_name}",
                            description=f"{platform.kubeflow_type} {platform.version}, {platform.status}",
                            mime_type=JSON,
                        )
                    )
            except AimlopsError:
                pass
        return ListResourcesResult(resources=listed)

    async def read(self, uri: str) -> ReadResourceResult:
        """One resource. Errors are protocol errors: -32602 for no such thing, -32603 for one that cannot be read."""
        try:
            return ReadResourceResult(contents=[await self._read(uri)])
        except (NoSuchResource, InvalidArguments) as error:
            raise MCPError(INVALID_PARAMS, f"Resource not found: {error}", {"uri": plain(uri, 300)}) from None
        except AimlopsError as error:
            code = INVALID_PARAMS if isinstance(error, Refused) and error.status == 404 else INTERNAL_ERROR
            raise MCPError(code, error.explain(f"Reading {plain(uri, 300)}"), {"uri": plain(uri, 300)}) from None

    async def _read(self, uri: str) -> TextResourceContents | BlobResourceContents:
        match _segments(uri):
            case ["platforms"]:
                return _json(uri, {"contents": _dumped(await walk(self.api, ListPlatforms(size=100)))})
            case ["platforms", release_id]:
                return await self._answer(uri, parse_arguments(GetPlatform, {"release_id": release_id}))
            case ["images"]:
                return _json(uri, {"contents": _dumped(await walk(self.api, ListImages(size=100)))})
            case ["images", image_id]:
                return _json(uri, _dumped([await self._image(image_id)])[0])
            case ["images", image_id, "icon"]:
                return _icon(uri, await self._image(image_id))
            case ["clusters", cluster_id, "nodes"]:
                nodes = await walk(self.api, parse_arguments(ListNodes, {"cluster_id": cluster_id, "size": 100}))
                return _json(uri, {"nodes": _dumped(nodes)})
            case ["clusters", cluster_id, "storage-classes"]:
                return await self._answer(uri, parse_arguments(ListStorageClasses, {"cluster_id": cluster_id}))
            case ["reference"]:
                return TextResourceContents(
                    uri=uri, mime_type="text/markdown", text=f"{operations_table()}\n{procedures_table()}"
                )
            case _:
                raise NoSuchResource(f"{plain(uri, 200)} is not one of this server's addresses")

    async def _answer(self, uri: str, operation: Operation[Any]) -> TextResourceContents:
        return _json(uri, _dumped([cast("Answer", await self.api.read(operation))])[0])

    async def _image(self, image_id: str) -> AiMlOpsPlatformImagesResponse:
        for image in await walk(self.api, ListImages(size=100)):
            if image.image_id == image_id:
                return image
        raise NoSuchResource(f"there is no image {plain(image_id, 100)!r}")


def platform_uri(release_id: str) -> str:
    """The address of one platform."""
    return _uri("platforms", release_id)


def release_id_of(uri: str) -> str | None:
    """The platform that an address stands for, written as `platform_uri` writes it; None for any other address."""
    match _segments(uri):
        case ["platforms", release_id] if uri == platform_uri(release_id):
            is_one = not problems_of(GetPlatform, {"release_id": release_id})
            return release_id if is_one else None
        case _:
            return None


def _segments(uri: str) -> list[str]:
    """The decoded parts of one of our URIs; decoded only after splitting, so an encoded slash stays in its part."""
    # Not urlsplit: it drops line ends and tabs, so that more texts than the listed addresses would name a resource.
    scheme, _, path = uri.partition("://")
    if scheme.lower() != SCHEME or "?" in path or "#" in path:
        return []
    segments = [unquote(part) for part in path.split("/")]
    return [] if _UNSAFE.intersection(segments) else segments


def _uri(*segments: str) -> str:
    return f"{SCHEME}://" + "/".join(quote(segment, safe="") for segment in segments)


def _image_entries(image: AiMlOpsPlatformImagesResponse) -> list[Resource]:
    if not image.image_id:
        return []
    name = image.image_name or image.image_id
    about = f"{image.kind() or 'unknown type'}, {image.base_image or 'no base image'}"
    entries = [
        Resource(
            uri=_uri("images", image.image_id), name=name, title=f"Image {name}", description=about, mime_type=JSON
        )
    ]
    if image.icon_file:
        uri = _uri("images", image.image_id, "icon")
        entries.append(Resource(uri=uri, name=f"{name} icon", title=f"Icon of {name}", mime_type=_decoded(image)[1]))
    return entries


def _json(uri: str, data: object) -> TextResourceContents:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return TextResourceContents(uri=uri, mime_type=JSON, text=text)


def _dumped(answers: list[Any]) -> list[dict[str, Any]]:
    return [cast("Answer", answer).model_dump(mode="json", exclude_none=True) for answer in answers]


def _icon(uri: str, image: AiMlOpsPlatformImagesResponse) -> BlobResourceContents:
    if not image.icon_file:
        raise NoSuchResource("this image has no icon")
    picture, mime_type = _decoded(image)
    if len(picture) > MAX_ICON_BYTES:
        raise NoSuchResource(f"the icon is larger than {MAX_ICON_BYTES // 1024} KiB")
    return BlobResourceContents(uri=uri, mime_type=mime_type, blob=base64.b64encode(picture).decode())


def _decoded(image: AiMlOpsPlatformImagesResponse) -> tuple[bytes, str]:
    """The picture and its type. The API does not say how it is written: base64, a data URL and plain SVG are read."""
    text = (image.icon_file or "").strip()
    by_name = mimetypes.guess_type(image.icon_file_name or "")[0] or ""
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        declared, *options = head.removeprefix("data:").split(";")
        by_name = declared.lower() or by_name
        picture = _from_base64(text) if "base64" in options else unquote_to_bytes(text)
    else:
        picture = text.encode("utf-8", "replace") if text.startswith("<") else _from_base64(text)
    by_content = next((mime for magic, mime in _MAGIC.items() if picture.startswith(magic)), None)
    # What is not a picture by its content or its name is handed over as bytes: a page would be shown.
    return picture, by_content or (by_name if _PICTURE.fullmatch(by_name) else "application/octet-stream")


def _from_base64(text: str) -> bytes:
    """The bytes; a text that is not base64 stays as it is. Line ends inside are part of the format (RFC 2045)."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return text.encode("utf-8", "replace")
