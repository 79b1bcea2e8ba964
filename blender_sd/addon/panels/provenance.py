"""The panel "Where Did This Come From": all that is known of the image shown here, and of what it was made. `draw` only reads memory."""
from __future__ import annotations

from ... import scene
from ...protocol import facts
from ...protocol.proof import BROKEN
from ...protocol.terms import CONDITIONS, NO, YES
from .. import provenance
from ..layout import wrapped
from ..operators.recall import shown_image
from .base import SIDEBARS, Panel, place

_LONGEST = 400  # characters of a value that are shown
_STRANGE = 1200  # characters of another program's text that are shown
_USE_ICONS = {YES: "CHECKMARK", CONDITIONS: "INFO", NO: "CANCEL"}


class Provenance(Panel):
    """What is known of the image shown here: model, licence, prompt, and the pictures that it was made of."""

    bl_label = "Where Did This Come From"
    bl_order = 57
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context) -> None:
        image = shown_image(context)
        if image is None:
            wrapped(self.layout, context, "Open an image in the Image Editor, or select an image node", "INFO")
            return
        story = provenance.story_of(image)
        self.layout.label(text=image.name, icon="IMAGE_DATA", translate=False)
        if image.library is not None:
            wrapped(self.layout, context, f"Linked from {image.library.filepath}", "LIBRARY_DATA_DIRECT", translate=False)
        if story.told.known:
            self._draw_facts(context, story)
            self._draw_chain(context, story)
        else:
            wrapped(self.layout, context, "Nothing is known of this image", "QUESTION")
        self._draw_file(context, image, story)
        row = self.layout.row(align=True)
        row.operator("sd.copy_origin", text="Copy as Text", icon="COPYDOWN")
        row.operator("sd.report", text="Report of All", icon="TEXT")

    def _draw_facts(self, context, story) -> None:
        told, box = story.told, self.layout.box()
        wrapped(box, context, facts.KINDS[told.kind], "RENDER_STILL" if told.kind == facts.BAKED else "IMAGE_DATA")
        column = box.column(align=True)
        for what, value in facts.lines(told):
            if what in ("Kind", "Commercial use") or value.startswith("sha256:"):  # said above and below
                continue
            wrapped(column, context, f"{what}: {value[:_LONGEST]}{'…' if len(value) > _LONGEST else ''}", translate=False)
            if what == "Licence":
                self._draw_terms(context, column, told.model_terms)
                if told.link:
                    column.operator("wm.url_open", text="Read the Licence", icon="URL").url = told.link
        if told.terms != told.model_terms:  # one of the other nets binds more
            self._draw_terms(context, column, told.terms)

    def _draw_terms(self, context, column, terms) -> None:
        wrapped(column, context, terms.text, _USE_ICONS.get(terms.commercial, "ERROR"))

    def _draw_chain(self, context, story) -> None:
        if story.chain is None:
            self.layout.label(text="Looking for what it was made of…", icon="TIME")
            return
        if not story.chain:
            return
        self.layout.label(text="Made of")
        for index, (link, icon) in enumerate(zip(story.chain, story.icons, strict=True)):
            row = self.layout.row(align=True)
            if link.depth > 1:
                row.separator(factor=5.0 * (link.depth - 1))
            if icon:
                row.template_icon(icon_value=icon, scale=2.4)
            column = row.column(align=True)
            line = column.row(align=True)
            line.label(text=f"{link.role.capitalize()}: {link.name or f'sha256 {link.digest[7:19]}…'}", translate=False,
                       icon="NONE" if icon else "QUESTION")
            if link.path:
                line.operator("sd.open_link", text="", icon="IMAGE_DATA").index = index
            request = link.known.request
            if request is not None:
                line.operator("sd.recall_link", text="", icon="LOOP_BACK").index = index
            column = column.column(align=True)
            column.active = False
            if link.problem:
                column.label(text=provenance.PROBLEMS[link.problem])
            elif request is not None:
                column.label(text=f"{' '.join(request.prompt.split())[:60] or 'No prompt'} · seed {request.seed}", translate=False)
            else:
                column.label(text="Carries no settings: not made here, or painted on")

    def _draw_file(self, context, image, story) -> None:
        """What the image's file says, once it was looked into."""
        if story.problem:
            wrapped(self.layout, context, story.problem, "ERROR")
        if story.looked is None:
            if provenance.is_looking(image):
                self.layout.label(text="Looking into the file…", icon="TIME")
            else:
                self.layout.operator("sd.look_into_file", text="Look into the File", icon="VIEWZOOM")
            return
        wrapped(self.layout, context, "Its file carries content credentials" if story.looked.credentials else
                "Its file carries no content credentials", "CHECKMARK" if story.looked.credentials else "INFO")
        if story.looked.credentials:
            self._draw_check(context, provenance.check_of(image))
        if story.looked.foreign:
            box = self.layout.box()
            wrapped(box, context, "Another program wrote this into the file. It may say anything:", "QUESTION")
            for line in story.looked.foreign[:_STRANGE].splitlines()[:12]:
                wrapped(box, context, line, most=6, translate=False)
        elif not story.told.known:
            wrapped(self.layout, context, "Nothing is said in the file either", "INFO")


    def _draw_check(self, context, check) -> None:
        """Whether the credentials hold, once somebody has asked."""
        if check is None:
            self.layout.operator("sd.check_credentials", text="Check Who Signed It", icon="CHECKMARK")
        elif not check.done:
            self.layout.label(text="Checking the credentials…", icon="TIME")
        elif check.proof is None:
            wrapped(self.layout, context, str(check.error or "The check was cancelled."), "ERROR")
        else:
            wrapped(self.layout, context, provenance.PROOFS[check.proof.state], "ERROR" if check.proof.state == BROKEN else "CHECKMARK")
            if check.proof.signer:
                row = self.layout.row()
                row.active = False
                row.label(text=f"Signer: {check.proof.signer}", translate=False)


class MaterialProvenance(Provenance):
    """Which generated images the material uses, and where its texture comes from."""

    bl_label = "Stable Diffusion: Where Did This Come From"

    def draw(self, context) -> None:
        material = getattr(context, "material", None)
        if material is not None and scene.is_marked(material):
            wrapped(self.layout, context, str(material[scene.MARK_PROPERTY]), "MATERIAL", translate=False)
        super().draw(context)


CLASSES = (*place(Provenance, *SIDEBARS), *place(MaterialProvenance, "material"))
