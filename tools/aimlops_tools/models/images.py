"""The catalogue of images a platform is installed from."""

from pydantic import Field

from aimlops_tools.fields import Contents, Paged
from aimlops_tools.models.platforms import PLATFORMS
from aimlops_tools.operation import Answer, Effect, Operation, operation
from aimlops_tools.text import HtmlText, ObjectOrNone, Text


class AiMlOpsPlatformImagesResponse(Answer):
    """An installable image (reference 2.6). The icon is kept out of every dump: it is a picture, not text."""

    image_id: Text | None = None
    image_name: Text | None = None
    product_type: Text | None = None
    base_image: Text | None = None
    category: Text | None = None
    os_type: Text | None = None
    description: HtmlText | None = None
    image_attr: ObjectOrNone = None
    icon_file_name: Text | None = None
    icon_file: str | None = Field(default=None, exclude=True, repr=False)
    project_id: Text | None = None
    created_by: Text | None = None
    created_dt: Text | None = None
    modified_by: Text | None = None
    modified_dt: Text | None = None

    def kind(self) -> str | None:
        """The product type, read from the base image's name when the field is empty (facts 8)."""
        if self.product_type:
            return self.product_type
        base = (self.base_image or "").lower()
        return next((kind for kind in ("Enterprise", "Mini") if f"-{kind.lower()}" in base), None)


class AiMlOpsPlatformImagesListResponse(Contents[AiMlOpsPlatformImagesResponse]):
    """A page of images (reference 2.5)."""


@operation("GET", PLATFORMS + "/images", effect=Effect.READ, source="1.7")
class ListImages(Paged, Operation[AiMlOpsPlatformImagesListResponse]):
    """List the images a platform can be installed from.

    Use it for create_platform's image_id and to see which product types and versions there are. The icon is the
    resource aimlops://images/{image_id}/icon. Free; changes nothing.
    """

    image_name: str | None = None
