"""``/v1/invoices/{id}/evidence`` and the like: packs, streamed, and the program that reads them."""

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from access import error_codes
from access.errors import ApiError
from access.serializers import ErrorEnvelopeSerializer
from access.views import FileView, path_id
from invoicing.evidence.pack import FORMAT, Document, filename, pack, public_id
from invoicing.models import CreditNote, Invoice

error_codes.register({"not_issued": "Evidence is of what is issued: a draft may still change."})

VERIFIER = Path(__file__).with_name("verify_evidence.py")
MEDIA_TYPE = "application/x-ndjson"
# Lines are sent on in pieces of about so many bytes.
PIECE = 64 * 1024


class _Evidence(FileView):
    """The pack of one document, as it is written."""

    prefix: ClassVar[str]
    model: ClassVar[type[Invoice] | type[CreditNote]]

    def _answer_pack(self, request: Request, id: str) -> HttpResponseBase:
        found: Document | None = (
            self.model._default_manager.select_related("customer", "contract")
            .filter(pk=path_id(self.prefix, id))
            .first()
        )
        if found is None:
            raise ApiError(404, "not_found", f"There is no {self.model._meta.verbose_name} {id}.")
        if not found.content_hash:
            message = f"{public_id(found)} is a draft: issue it, then there is something to prove."
            raise ApiError(409, "not_issued", message)
        lines = pieces(pack(found, now=timezone.now()))
        packed = _takes_gzip(request)
        response = StreamingHttpResponse(_gzipped(lines) if packed else lines, content_type=MEDIA_TYPE)
        response["Content-Disposition"] = f'attachment; filename="{filename(found)}"'
        if packed:
            response["Content-Encoding"] = "gzip"
        patch_vary_headers(response, ["Accept-Encoding"])
        return response


_PACK = {
    (200, MEDIA_TYPE): OpenApiResponse(OpenApiTypes.BINARY, description=f"JSON lines, {FORMAT!r}."),
    409: OpenApiResponse(ErrorEnvelopeSerializer, description="It is a draft."),
}


class InvoiceEvidence(_Evidence):
    prefix, model = "inv", Invoice

    @extend_schema(summary="Download an invoice's evidence", responses=_PACK, tags=["evidence"])
    def get(self, request: Request, id: str) -> HttpResponseBase:
        """Everything the invoice is counted from, for its reader to count again with `/v1/evidence/verifier`."""
        return self._answer_pack(request, id)


class CreditNoteEvidence(_Evidence):
    prefix, model = "cn", CreditNote

    @extend_schema(summary="Download a credit note's evidence", responses=_PACK, tags=["evidence"])
    def get(self, request: Request, id: str) -> HttpResponseBase:
        """The outcomes it takes back, with the events that took them back, and what its amounts are worked out from."""
        return self._answer_pack(request, id)


class Verifier(FileView):
    @extend_schema(
        summary="Download the verifier",
        responses={(200, "text/x-python"): OpenApiResponse(OpenApiTypes.STR)},
        tags=["evidence"],
    )
    def get(self, request: Request) -> HttpResponse:
        """The program that recounts a pack, offline: one file for Python 3.9 or newer, with nothing to install."""
        return HttpResponse(
            VERIFIER.read_bytes(),
            content_type="text/x-python; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{VERIFIER.name}"'},
        )


def pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines put together: one write for each would cost more than the pack."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= PIECE:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _takes_gzip(request: Request) -> bool:
    """Whether the client says so, and not that it will not (`gzip;q=0`)."""
    for part in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = (text.strip() for text in part.partition(";"))
        if coding == "gzip":
            return weight.replace(" ", "").rstrip("0.") not in ("q=", "q")
    return False


def _gzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # Level 1: a pack is repetitive, and its reader waits.
    packer = zlib.compressobj(level=1, wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
