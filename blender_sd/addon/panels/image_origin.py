"""Draw the popover "Where Did This Come From" and its panel on the Material tab.

They show what is known about the image in this editor and its inputs. `draw` only reads memory.
"""
from __future__ import annotations

from ... import scene
from ...core.content_credentials import BROKEN
from ...core.licences import CONDITIONS, NO, YES
from ...library import image_origin
from ...library.lineage import Link
from .. import image_origin as origin_view
from ..layout import ORIGIN, wrapped
from ..operators.recall import shown_image
from ..translations.words import translated
from .base import Panel, Popover, place, popover

_LONGEST = 400  # characters of a value that are shown
_STRANGE = 1200  # characters of another program's text that are shown
_ROLES = {"source": "Source", "mask": "Mask", "reference": "Reference", "control": "Control"}  # of input pictures
_USE_ICONS = {YES: "CHECKMARK", CONDITIONS: "INFO", NO: "CANCEL"}


def _role(link: Link) -> str:
    """Return the role of a picture in the chain, in the interface's language; controls are numbered from 0."""
    name = link.role.rstrip("0123456789")
    return translated(_ROLES.get(name, name.capitalize()))


class _DrawsDetails:
    """Draw the details of the editor's image, for the popover and the panel."""

    def draw_details(self, context) -> None:
        image = shown_image(context)
        if image is None:
            wrapped(self.layout, context, "Open an image in the Image Editor, or select an image node", "INFO")
            return
        details = origin_view.details_of(image)
        self.layout.label(text=image.name, icon="IMAGE_DATA", translate=False)
        if image.library is not None:
            wrapped(self.layout, context, f"Linked from {image.library.filepath}", "LIBRARY_DATA_DIRECT")
        if details.known_facts.known:
            self._draw_facts(context, details)
            self._draw_chain(context, details)
        else:
            wrapped(self.layout, context, "Nothing is known of this image", "QUESTION")
        self._draw_file(context, image, details)
        row = self.layout.row(align=True)
        row.operator("sd.copy_origin", text="Copy as Text", icon="COPYDOWN")
        row.operator("sd.report", text="Report of All", icon="TEXT")

    def _draw_facts(self, context, details) -> None:
        facts, box = details.known_facts, self.layout.box()
        wrapped(box, context, image_origin.KINDS[facts.kind],
                "RENDER_STILL" if facts.kind == image_origin.BAKED else "IMAGE_DATA")
        column = box.column(align=True)
        for what, value in image_origin.lines(facts):
            if what in ("Kind", "Commercial use") or value.startswith("sha256:"):  # drawn above and below
                continue
            value = value if what in image_origin.TYPED else translated(value)
            wrapped(column, context, f"{translated(what)}: {value[:_LONGEST]}{'…' if len(value) > _LONGEST else ''}",
                    translate=False)
            if what == "Licence":
                self._draw_terms(context, column, facts.model_terms)
                if facts.link:
                    column.operator("wm.url_open", text="Read the Licence", icon="URL").url = facts.link
        if facts.terms != facts.model_terms:  # another network's licence is stricter
            self._draw_terms(context, column, facts.terms)

    def _draw_terms(self, context, column, terms) -> None:
        wrapped(column, context, terms.text, _USE_ICONS.get(terms.commercial, "ERROR"))

    def _draw_chain(self, context, details) -> None:
        if details.chain is None:
            self.layout.label(text="Looking for what it was made of…", icon="TIME")
            return
        if not details.chain:
            return
        self.layout.label(text="Made of")
        for index, (link, icon) in enumerate(zip(details.chain, details.icons, strict=True)):
            row = self.layout.row(align=True)
            if link.depth > 1:
                row.separator(factor=5.0 * (link.depth - 1))
            if icon:
                row.template_icon(icon_value=icon, scale=2.4)
            column = row.column(align=True)
            line = column.row(align=True)
            line.label(text=f"{_role(link)}: {link.name or f'sha256 {link.digest[7:19]}…'}", translate=False,
                       icon="NONE" if icon else "QUESTION")
            if link.path:
                line.operator("sd.open_link", text="", icon="IMAGE_DATA").index = index
            request = link.known.request
            if request is not None:
                line.operator("sd.recall_link", text="", icon="LOOP_BACK").index = index
            column = column.column(align=True)
            column.active = False
            if link.problem:
                column.label(text=translated(origin_view.PROBLEMS[link.problem]))
            elif request is not None:
                prompt = " ".join(request.prompt.split())[:60] or translated("No prompt")
                column.label(text=f"{prompt} · {translated(f'seed {request.seed}')}", translate=False)
            else:
                column.label(text="Carries no settings: not made here, or painted on")

    def _draw_file(self, context, image, details) -> None:
        """Draw what the image's file says, once it was read."""
        if details.problem:
            wrapped(self.layout, context, details.problem, "ERROR")
        if details.looked is None:
            if origin_view.is_looking(image):
                self.layout.label(text="Looking into the file…", icon="TIME")
            else:
                self.layout.operator("sd.look_into_file", text="Look into the File", icon="VIEWZOOM")
            return
        wrapped(self.layout, context, "Its file carries content credentials" if details.looked.credentials else
                "Its file carries no content credentials", "CHECKMARK" if details.looked.credentials else "INFO")
        if details.looked.credentials:
            self._draw_check(context, origin_view.check_of(image))
        if details.looked.foreign:
            box = self.layout.box()
            wrapped(box, context, "Another program wrote this into the file. It may say anything:", "QUESTION")
            for line in details.looked.foreign[:_STRANGE].splitlines()[:12]:
                wrapped(box, context, line, most=6, translate=False)
        elif not details.known_facts.known:
            wrapped(self.layout, context, "Its file says nothing either", "INFO")

    def _draw_check(self, context, check) -> None:
        """Draw the result of the check of content credentials, or its button."""
        if check is None:
            self.layout.operator("sd.check_credentials", text="Check Who Signed It", icon="CHECKMARK")
        elif not check.done:
            self.layout.label(text="Being checked: open this again in a few seconds", icon="TIME")
        elif check.proof is None:
            wrapped(self.layout, context, str(check.error or "The check was cancelled."), "ERROR")
        else:
            wrapped(self.layout, context, origin_view.PROOFS[check.proof.state],
                    "ERROR" if check.proof.state == BROKEN else "CHECKMARK")
            if check.proof.signer:
                row = self.layout.row()
                row.active = False
                row.label(text=f"{translated('Signer')}: {check.proof.signer}", translate=False)


class Provenance(_DrawsDetails, Popover):
    """What is known of the image shown here: model, licence, prompt, and the pictures that it was made of"""

    bl_idname = ORIGIN
    bl_label = "Where Did This Come From"

    def draw_content(self, context) -> None:
        self.draw_details(context)


class MaterialProvenance(_DrawsDetails, Panel):
    """Which generated images the material uses, and where its texture comes from."""

    bl_label = "Stable Diffusion: Where Did This Come From"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        material = getattr(context, "material", None)
        if material is not None and scene.is_marked(material):
            wrapped(self.layout, context, str(material[scene.MARK_PROPERTY]), "MATERIAL", translate=False)
        self.draw_details(context)


CLASSES = (popover(Provenance), *place(MaterialProvenance, "material"))
